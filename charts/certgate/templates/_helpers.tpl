{{- define "certgate.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "certgate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "certgate.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "certgate.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "certgate.selector" -}}
app.kubernetes.io/name: {{ include "certgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The pod of `helm test`: not among the pods that the Services select. */}}
{{- define "certgate.testSelector" -}}
app.kubernetes.io/name: {{ include "certgate.name" . }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The labels of all objects, around those of `selector`; the chart's own win. */}}
{{- define "certgate.labelled" -}}
{{- $own := include .selector .root | fromYaml -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") -}}
{{- $_ := set $own "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- toYaml (merge $own .root.Values.commonLabels) -}}
{{- end -}}

{{- define "certgate.labels" -}}
{{- include "certgate.labelled" (dict "root" . "selector" "certgate.selector") -}}
{{- end -}}

{{- define "certgate.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "certgate.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "certgate.image" -}}
{{- $repository := required "image.repository is required: there is no public image yet; build one with deploy/docker/Dockerfile, push it, and name it with --set image.repository=registry.example/certgate" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* The rules that any scope needs in its namespaces; `.secrets` and `.configMaps` are the listed names there. */}}
{{- define "certgate.rules" -}}
- apiGroups: [certgate.dev]
  resources: [trustprofiles, certificatepolicies, certificatemappings]
  verbs: [get, list, watch]
{{- if eq .Values.status.writing "leader" }}
- apiGroups: [certgate.dev]
  resources: [trustprofiles/status, certificatepolicies/status, certificatemappings/status]
  verbs: [patch]
{{- end }}
{{- if eq .Values.trustSources.configMapAccess "All" }}
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch]
{{- end }}
{{- if and (not .Values.trustSources.secrets) (eq .Values.trustSources.secretsWhenUnlisted "All") }}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch]
{{- end }}
{{- end -}}

{{/* A duration such as `1m30s` in milliseconds. */}}
{{- define "certgate.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+(ms|s|m|h)" . -1 -}}
{{- $sum = add $sum (mul (regexFind "^[0-9]+" .) (get $units (regexFind "[a-z]+$" .))) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{/* How long Kubernetes waits for a pod to end; fails when that is too short for the drain. */}}
{{- define "certgate.gracePeriod" -}}
{{- $drain := add (include "certgate.milliseconds" .Values.drain.delay) (include "certgate.milliseconds" .Values.drain.deadline) -}}
{{- $grace := int .Values.terminationGracePeriodSeconds -}}
{{- if le (mul $grace 1000) $drain -}}
{{- fail (printf "terminationGracePeriodSeconds (%d) must be longer than drain.delay (%s) and drain.deadline (%s) together, or Kubernetes kills pods that still drain" $grace .Values.drain.delay .Values.drain.deadline) -}}
{{- end -}}
{{- $grace -}}
{{- end -}}

{{/* The ConfigMap with the names of callers; empty when there are none. */}}
{{- define "certgate.callersConfigMap" -}}
{{- if and .Values.grpcTls.enabled .Values.grpcTls.allowedCallers -}}
{{- include "certgate.fullname" . }}-callers
{{- end -}}
{{- end -}}

{{/* The families of a Service's addresses. */}}
{{- define "certgate.ipFamilies" -}}
{{- with .Values.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.service.ipFamilies }}
ipFamilies: {{ toJson . }}
{{- end }}
{{- end -}}

{{- define "certgate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "certgate.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The pod of `helm test`: not among the pods that the Services select. */}}
{{- define "certgate.testSelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "certgate.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "certgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "certgate.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "certgate.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "certgate.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
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

{{/* Whether certgate keeps the webhook's certificate itself. */}}
{{- define "certgate.webhookSelfManaged" -}}
{{- if and .Values.webhook.enabled (eq .Values.webhook.certificates "SelfManaged") -}}true{{- end -}}
{{- end -}}

{{/* The Secret that is mounted with the webhook's certificate; empty when none is. */}}
{{- define "certgate.webhookMountedSecret" -}}
{{- if .Values.webhook.enabled -}}
{{- if eq .Values.webhook.certificates "CertManager" -}}
{{- include "certgate.fullname" . }}-webhook
{{- else if eq .Values.webhook.certificates "Secret" -}}
{{- required "webhook.secretName is needed with webhook.certificates=Secret" .Values.webhook.secretName -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "certgate.webhookHost" -}}
{{- include "certgate.fullname" . }}-webhook.{{ .Release.Namespace }}.svc
{{- end -}}

{{- define "certgate.webhookConfiguration" -}}
{{- printf "%s-%s" .Release.Namespace (include "certgate.fullname" .) -}}
{{- end -}}

{{- define "certgate.webhookArgs" -}}
{{- if .Values.webhook.enabled -}}
- --admission-listen={{ .Values.listenAddress }}:9443
{{- if include "certgate.webhookSelfManaged" . }}
- --admission-secret={{ .Release.Namespace }}/{{ include "certgate.fullname" . }}-webhook
- --admission-configuration={{ include "certgate.webhookConfiguration" . }}
- --admission-host={{ include "certgate.webhookHost" . }}
- --admission-lifetime={{ .Values.webhook.lifetime }}
{{- else }}
- --admission-certificate=/etc/certgate/webhook/tls.crt
- --admission-key=/etc/certgate/webhook/tls.key
{{- end }}
{{- end -}}
{{- end -}}

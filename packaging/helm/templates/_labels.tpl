{{- define "resoftai.selector" -}}
app.kubernetes.io/name: resoftai
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
{{- define "resoftai.labels" -}}
{{ include "resoftai.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{/* The chart's resources are named for the release; the name itself where it is the chart's. */}}
{{- define "mistudio.name" -}}
{{- if eq .Release.Name .Chart.Name }}{{ .Release.Name }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "mistudio.selector" -}}
app.kubernetes.io/name: mistudio
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "mistudio.labels" -}}
{{ include "mistudio.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "mistudio.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- .Values.images.control | default (printf "%smistudio-control:%s" .Values.image.prefix $tag) -}}
{{- end }}

{{- define "mistudio.workerImage" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- .Values.images.worker | default (printf "%smistudio-%s:%s" .Values.image.prefix .Values.extractor.device $tag) -}}
{{- end }}

{{- define "mistudio.claim" -}}
{{- .Values.data.existingClaim | default (printf "%s-data" (include "mistudio.name" .)) -}}
{{- end }}

{{/* What every pod is: an ordinary user without a token of the cluster. */}}
{{- define "mistudio.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "mistudio.container" -}}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end }}

{{/* Variables of each service: its user of the bus is its component. */}}
{{- define "mistudio.env" -}}
- name: NATS_URL
  valueFrom: { secretKeyRef: { name: {{ .root.Values.existingSecret }}, key: nats-{{ .user }} } }
- { name: MISTUDIO_POOL, value: {{ .root.Values.pool | quote }} }
- { name: MISTUDIO_POOLS, value: {{ .root.Values.pool | quote }} }
- { name: LOG_LEVEL, value: {{ .root.Values.logLevel | quote }} }
- { name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ .root.Values.otlpEndpoint | quote }} }
{{- range $key, $value := .env }}
- { name: {{ $key }}, value: {{ $value | quote }} }
{{- end }}
{{- end }}

{{- define "mistudio.database" -}}
- name: DATABASE_URL
  valueFrom: { secretKeyRef: { name: {{ .Values.existingSecret }}, key: database } }
{{- end }}

{{/* Slow to start, then alive and ready by the pages that each service has. */}}
{{- define "mistudio.probes" -}}
startupProbe:
  httpGet: { path: /health/live, port: {{ . }} }
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: { path: /health/live, port: {{ . }} }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /health/ready, port: {{ . }} }
  periodSeconds: 5
  timeoutSeconds: 4
{{- end }}

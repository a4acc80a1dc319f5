{{- define "cxone.name" -}}
{{- $chart := .Values.nameOverride | default .Chart.Name }}
{{- $name := printf "%s-%s" .Release.Name $chart }}
{{- if contains $chart .Release.Name }}{{ $name = .Release.Name }}{{ end }}
{{- .Values.fullnameOverride | default $name | trunc 42 | trimSuffix "-" }}
{{- end }}

{{- define "cxone.selector" -}}
app.kubernetes.io/name: {{ .Values.nameOverride | default .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Our own labels take precedence over commonLabels, so that none is duplicated. */}}
{{- define "cxone.labels" -}}
{{- $own := fromYaml (include "cxone.selector" .) }}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion }}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service }}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version) }}
{{- merge $own .Values.commonLabels | toYaml }}
{{- end }}

{{- /* Differs from the selector, so that neither the Service nor the disruption budget matches the test pod. */}}
{{- define "cxone.testSelector" -}}
app.kubernetes.io/name: {{ .Values.nameOverride | default .Chart.Name }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "cxone.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- define "cxone.scheme" -}}
{{- if (.Values.webConfig).tls_server_config }}HTTPS{{ else }}HTTP{{ end }}
{{- end }}

{{- /* The value of a flag of `serve` in extraArgs, as --FLAG=VALUE or as two arguments. */}}
{{- define "cxone.flag" -}}
{{- $given := regexFind (printf "(^|\n)--%s[=\n][^\n]*" (.flag | replace "." "\\.")) (join "\n" .Values.extraArgs) }}
{{- regexReplaceAll "^\n?[^=\n]*[=\n]" $given "" }}
{{- end }}

{{- /* What stands before the path of every page: nothing, or a path without a slash at its end. */}}
{{- define "cxone.prefix" -}}
{{- $external := (urlParse (include "cxone.flag" (dict "flag" "web.external-url" "Values" .Values))).path }}
{{- $prefix := include "cxone.flag" (dict "flag" "web.route-prefix" "Values" .Values) | default $external | trimAll "/" }}
{{- if $prefix }}/{{ $prefix }}{{ end }}
{{- end }}

{{- define "cxone.metricsPath" -}}
{{- include "cxone.prefix" . }}{{ include "cxone.flag" (dict "flag" "web.telemetry-path" "Values" .Values) | default "/metrics" }}
{{- end }}

{{- define "cxone.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "cxone.name" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- /* Shared by the exporter and its test. */}}
{{- define "cxone.pod" -}}
serviceAccountName: {{ include "cxone.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "cxone.container" -}}
image: {{ include "cxone.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext: {{- toYaml .Values.securityContext | nindent 2 }}
{{- with .Values.extraEnv }}
env: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "cxone.mounts" -}}
- {name: configuration, mountPath: /etc/cxone-exporter/config, readOnly: true}
{{- if .Values.existingSecret }}
- {name: secrets, mountPath: /etc/cxone-exporter/secrets, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "cxone.volumes" -}}
- name: configuration
  configMap: {name: {{ include "cxone.name" . }}}
{{- with .Values.existingSecret }}
- name: secrets
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

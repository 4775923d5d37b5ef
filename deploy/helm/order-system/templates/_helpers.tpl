{{- define "order-system.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 36 | trimSuffix "-" }}
{{- end }}

{{- /* CloudNativePG allows 50 characters for `<fullname>-inventory-db`. */}}
{{- define "order-system.fullname" -}}
{{- $name := include "order-system.name" . }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- .Values.fullnameOverride | default $full | trunc 36 | trimSuffix "-" }}
{{- end }}

{{- /* The labels that select a component's pods; `dict "root" $ "component" "order"`. */}}
{{- define "order-system.selector" -}}
app.kubernetes.io/name: {{ include "order-system.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "order-system.labels" -}}
{{ include "order-system.selector" . }}
app.kubernetes.io/part-of: order-system
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "order-system.image" -}}
{{- $image := .image }}
{{- $repository := $image.repository }}
{{- with .root.Values.image.registry }}{{ $repository = printf "%s/%s" . $repository }}{{ end }}
{{- if $image.digest }}{{ printf "%s@%s" $repository $image.digest }}
{{- else }}{{ printf "%s:%s" $repository (.root.Values.image.tag | default .root.Chart.AppVersion) }}{{ end }}
{{- end }}

{{- define "order-system.port" -}}
{{ get (dict "order" 8001 "inventory" 8002 "payment" 8003 "console" 8000) . }}
{{- end }}

{{- define "order-system.postgres" -}}
{{ include "order-system.fullname" .root }}-{{ .component }}-db
{{- end }}

{{- define "order-system.rabbitmq" -}}
{{ include "order-system.fullname" . }}-rabbitmq
{{- end }}

{{- /* Names of Secrets. */}}
{{- define "order-system.adminSecret" -}}
{{ .Values.adminToken.secret.name | default (printf "%s-admin" (include "order-system.fullname" .)) }}
{{- end }}

{{- define "order-system.databaseSecret" -}}
{{- $values := get .root.Values .component }}
{{- $own := printf "%s-%s-database" (include "order-system.fullname" .root) .component }}
{{- if .root.Values.postgresql.enabled }}{{ include "order-system.postgres" . }}-app
{{- else }}{{ $values.database.secret.name | default $own }}{{ end }}
{{- end }}

{{- define "order-system.brokerSecret" -}}
{{- $values := get .root.Values .component }}
{{- $values.broker.secret.name | default (printf "%s-%s-broker" (include "order-system.fullname" .root) .component) }}
{{- end }}

{{- /* Addresses without passwords. `tls` is the directory with the certificate authority of the operator's cluster. */}}
{{- define "order-system.operatorDatabaseUrl" -}}
{{- $host := printf "%s-%s-db-rw.%s.svc" (include "order-system.fullname" .root) .component .root.Release.Namespace }}
{{- printf "postgres://%s@%s:5432/%s?sslmode=verify-full&sslrootcert=%s/ca.crt" .component $host .component .tls }}
{{- end }}

{{- define "order-system.databaseUrl" -}}
{{- if .root.Values.postgresql.enabled }}
{{- include "order-system.operatorDatabaseUrl" (merge (dict "tls" "/run/secrets/database-ca") .) }}
{{- else }}
{{- $set := printf "set %s.database.url or %s.database.urlSecret.name, or postgresql.enabled" .component .component }}
{{- required $set (get .root.Values .component).database.url }}
{{- end }}
{{- end }}

{{- define "order-system.amqpUrl" -}}
{{- if .root.Values.rabbitmq.enabled }}
{{- printf "amqp://%s@%s.%s.svc:5672/orders" .component (include "order-system.rabbitmq" .root) .root.Release.Namespace }}
{{- else }}
{{- $set := printf "set %s.broker.url or %s.broker.urlSecret.name, or rabbitmq.enabled" .component .component }}
{{- required $set (get .root.Values .component).broker.url }}
{{- end }}
{{- end }}

{{- /* For the payment service and the audit. */}}
{{- define "order-system.stripeEnv" -}}
- { name: PAYMENT_GATEWAY, value: stripe }
- { name: PAYMENT_LIVE, value: "{{ .Values.payment.stripe.live }}" }
- { name: STRIPE_API_KEY_FILE, value: /run/secrets/stripe/api-key }
{{- end }}

{{- /* The stages of a graceful shutdown: answers, publishing, and closing the broker may each take the drain timeout;
       the last answers 1 s and the last spans 3 s; 2 s are spare. */}}
{{- define "order-system.gracePeriod" -}}
{{ add .Values.preStopSeconds (mul 3 .Values.drainTimeoutSeconds) 6 }}
{{- end }}

{{- define "order-system.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "order-system.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: { drop: [ALL] }
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "order-system.spread" -}}
{{- $selector := include "order-system.selector" . }}
{{- range .root.Values.topologySpread }}
- maxSkew: 1
  topologyKey: {{ .topologyKey }}
  whenUnsatisfiable: {{ .whenUnsatisfiable }}
  labelSelector:
    matchLabels:
      {{- $selector | nindent 6 }}
  # Old and new pods of a rollout are spread separately.
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}

{{- /* What all pods have in common, before their containers. */}}
{{- define "order-system.pod" -}}
serviceAccountName: {{ include "order-system.fullname" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "order-system.podSecurity" . | nindent 2 }}
{{- end }}

{{- define "order-system.probes" -}}
startupProbe:
  httpGet: { path: /health, port: http }
  periodSeconds: {{ .root.Values.startupProbe.periodSeconds }}
  failureThreshold: {{ .root.Values.startupProbe.failureThreshold }}
  timeoutSeconds: 3
livenessProbe:
  httpGet: { path: /health, port: http }
  periodSeconds: 10
  failureThreshold: 6
  timeoutSeconds: 5
readinessProbe:
  httpGet: { path: {{ .readinessPath }}, port: http }
  periodSeconds: 2
  failureThreshold: 2
  timeoutSeconds: 2
{{- end }}

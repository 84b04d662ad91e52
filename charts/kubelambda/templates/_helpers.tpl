{{- define "kubelambda.name" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "kubelambda.image" -}}
{{ .root.Values.image.repository }}/{{ .name }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{- define "kubelambda.selector" -}}
app.kubernetes.io/name: kubelambda
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "kubelambda.labels" -}}
{{ include "kubelambda.selector" . }}
app.kubernetes.io/part-of: kubelambda
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "kubelambda.keySecret" -}}
{{ .Values.key.existingSecret | default (printf "%s-key" (include "kubelambda.name" .)) }}
{{- end }}

{{- define "kubelambda.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 993
runAsGroup: 993
fsGroup: 993
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "kubelambda.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Volumes and mounts that operator, frontend and code store share: settings and the key. */}}
{{- define "kubelambda.configVolumes" -}}
- name: settings
  configMap: {name: {{ include "kubelambda.name" . }}-settings}
- name: key
  secret:
    secretName: {{ include "kubelambda.keySecret" . }}
    defaultMode: 0440
    items: [{key: key, path: key}]
- name: tmp
  emptyDir: {}
{{- end }}

{{- define "kubelambda.configMounts" -}}
- {name: settings, mountPath: /etc/kubelambda, readOnly: true}
- {name: key, mountPath: /etc/kubelambda-key, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- end }}

{{/* Rules of whoever asks callers who they are: keys in Secrets of one name, tokens, and what their holders may do. */}}
{{- define "kubelambda.callerRules" -}}
# The Secrets of this one name only, in whatever namespace, and nothing by another.
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [kubelambda-access-keys]
  verbs: [list, watch]
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
{{- end }}

{{- define "kubelambda.priorityClass" -}}
{{- .Values.priorityClass.name | default (ternary (include "kubelambda.name" .) "" .Values.priorityClass.create) }}
{{- end }}

{{- define "kubelambda.scheduling" -}}
{{- with include "kubelambda.priorityClass" .root }}
priorityClassName: {{ . }}
{{- end }}
{{- with .pods.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- $tolerations := .pods.tolerations | default list }}
{{- if .stateless }}
{{- $tolerations = concat $tolerations (include "kubelambda.lostNode" $tolerations | fromYamlArray) }}
{{- end }}
{{- with $tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pods.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
How long pods without a disk are waited for whose node is lost: not the five minutes that Kubernetes waits by itself.
Whoever tolerates that by a word of their own decides, not who only lets pods begin there. The argument is what a
component tolerates already.
*/}}
{{- define "kubelambda.lostNode" -}}
{{- range $key := list "node.kubernetes.io/not-ready" "node.kubernetes.io/unreachable" }}
{{- $told := false }}
{{- range $ }}
{{- $evicts := eq (.effect | default "NoExecute") "NoExecute" }}
{{- if and $evicts (or (eq (.key | default "") $key) (and (not .key) (eq (.operator | default "") "Exists"))) }}
{{- $told = true }}
{{- end }}
{{- end }}
{{- if not $told }}
- {key: {{ $key }}, operator: Exists, effect: NoExecute, tolerationSeconds: 30}
{{- end }}
{{- end }}
{{- end }}

{{/* Pods that a rollout replaces do not count: both of the new ones would be where the old ones are not. */}}
{{- define "kubelambda.spread" -}}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "kubelambda.selector" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}

{{- define "kubelambda.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Role that a component has in the namespaces with Functions, of the arguments root and component. */}}
{{- define "kubelambda.accountRole" -}}
{{ .root.Release.Namespace }}-{{ include "kubelambda.name" .root }}-{{ .component }}-account
{{- end }}

{{/* Peers of a NetworkPolicy: every pod but those that run users' functions. */}}
{{- define "kubelambda.notEnvironments" -}}
- namespaceSelector: {}
  podSelector:
    matchExpressions:
      - {key: app.kubernetes.io/component, operator: NotIn, values: [environment]}
{{- end }}

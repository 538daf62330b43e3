{{- /* Names, labels and images, shared by all templates. */ -}}

{{- define "recmesh.operator" -}}{{ .Values.fullnameOverride }}-operator{{- end }}
{{- define "recmesh.store" -}}{{ .Values.fullnameOverride }}-store{{- end }}

{{- /* The operator creates this Secret once, with this name; the store waits for it. */ -}}
{{- define "recmesh.rootSecret" -}}recmesh-store-root{{- end }}

{{- define "recmesh.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "recmesh.operator" .) -}}
{{- else -}}
{{- required "serviceAccount.name: name an existing ServiceAccount, or set serviceAccount.create" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- /* recmesh.selector (list . component): immutable, therefore without a version. */ -}}
{{- define "recmesh.selector" -}}
app.kubernetes.io/name: recmesh
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- /* recmesh.labels (list . component) */ -}}
{{- define "recmesh.labels" -}}
{{- $ := index . 0 -}}
{{ include "recmesh.selector" . }}
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: recmesh
app.kubernetes.io/managed-by: {{ $.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* recmesh.podMetadata (list . component): labels and annotations without versions, so that an upgrade restarts only
changed workloads. Labels of the user do not override labels of the selector. */ -}}
{{- define "recmesh.podMetadata" -}}
{{- $ := index . 0 -}}{{- $values := index $.Values (index . 1) -}}
{{- $annotations := dict "kubectl.kubernetes.io/default-container" (index . 1) -}}
{{- if $.Values.metrics.annotations -}}
{{- $annotations = merge $annotations (dict "prometheus.io/scrape" "true" "prometheus.io/port" "9090" "prometheus.io/path" "/metrics") -}}
{{- end -}}
labels:
  {{- merge (include "recmesh.selector" . | fromYaml) (dict "app.kubernetes.io/part-of" "recmesh") $values.podLabels | toYaml | nindent 2 }}
annotations:
  {{- merge (deepCopy $values.podAnnotations) $annotations | toYaml | nindent 2 }}
{{- end }}

{{- /* recmesh.placement (list . component) */ -}}
{{- define "recmesh.placement" -}}
{{- $values := index (index . 0).Values (index . 1) -}}
{{- range $field := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" -}}
{{- with index $values $field }}
{{ dict $field . | toYaml }}
{{- end -}}
{{- end -}}
{{- with (index . 0).Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end -}}
{{- end }}

{{- /* recmesh.image (list . which) */ -}}
{{- define "recmesh.image" -}}
{{- $ := index . 0 -}}{{- $image := index $.Values.image (index . 1) -}}
{{- if $image.digest -}}{{ $image.repository }}@{{ $image.digest }}
{{- else -}}{{ $image.repository }}:{{ $image.tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "recmesh.podSecurity" -}}
runAsNonRoot: true
{{- if .Values.fixedUserIds }}
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
{{- end }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "recmesh.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Peers that may scrape metrics: the chart's own namespace and the named ones. */ -}}
{{- define "recmesh.scrapers" -}}
- namespaceSelector:
    matchExpressions:
    - key: kubernetes.io/metadata.name
      operator: In
      values: {{ prepend .Values.metrics.namespaces .Release.Namespace | uniq | toJson }}
{{- end }}

{{- /* Watched namespaces as JSON; [] means all. */ -}}
{{- define "recmesh.watched" -}}
{{- $named := .Values.watch.namespaces | uniq -}}
{{- if and (not $named) (eq .Values.scope "namespaced") -}}{{- $named = list .Release.Namespace -}}{{- end -}}
{{- toJson $named -}}
{{- end }}

{{- define "recmesh.injection" -}}{{ .Values.fullnameOverride }}-injection{{- end }}

{{- /* Not empty if the API server adds sidecars. Without a cluster (helm template), auto needs --api-versions. */ -}}
{{- define "recmesh.injects" -}}
{{- $served := .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" -}}
{{- $enabled := toString .Values.mesh.enabled -}}
{{- if and (eq .Values.scope "cluster") (or (eq $enabled "true") (and (eq $enabled "auto") $served)) -}}true{{- end -}}
{{- end }}

{{- /* Pods that ask for a sidecar and have none, in the watched namespaces. The label injected excludes pods of
`recmesh-operator inject`, and a pod that was changed already. */ -}}
{{- define "recmesh.injectedPods" -}}
namespaceSelector:
  matchExpressions:
  - {key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system, {{ .Release.Namespace }}]}
  {{- with include "recmesh.watched" . | fromJsonArray }}
  - {key: kubernetes.io/metadata.name, operator: In, values: {{ toJson . }}}
  {{- end }}
objectSelector:
  matchExpressions:
  - {key: recmesh.dev/inject, operator: Exists}
  - {key: recmesh.dev/injected, operator: DoesNotExist}
resourceRules:
- apiGroups: [""]
  apiVersions: [v1]
  operations: [CREATE]
  resources: [pods]
{{- end }}

{{- /* What a pod must be to have a sidecar. */ -}}
{{- define "recmesh.injectionConditions" -}}
- name: not-ours
  expression: object.metadata.labels[?'app.kubernetes.io/part-of'].orValue('') != 'recmesh'
- name: mode
  expression: object.metadata.labels[?'recmesh.dev/mode'].orValue('proxy') in ['proxy', 'local']
- name: local-namespace
  expression: >-
    object.metadata.labels[?'recmesh.dev/mode'].orValue('proxy') != 'local' || !('recmesh.dev/namespace' in object.metadata.labels)
- name: memory
  expression: object.metadata.?annotations[?'recmesh.dev/memory'].orValue('1Mi').matches('^[1-9][0-9]{0,6}(Mi|Gi)$')
- name: store-secret
  expression: >-
    object.metadata.labels[?'recmesh.dev/mode'].orValue('proxy') != 'local' ||
    object.metadata.?annotations[?'recmesh.dev/store-secret'].orValue('a').matches('^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$')
- name: identity
  expression: object.metadata.?annotations[?'recmesh.dev/identity'].orValue('none') == 'none'
- name: own-network
  expression: "!object.spec.?hostNetwork.orValue(false)"
- name: linux
  expression: object.spec.?os.?name.orValue('linux') != 'windows'
- name: name-is-free
  expression: >-
    (object.spec.containers + object.spec.?initContainers.orValue([])).all(container, container.name != 'recmesh-proxy')
- name: ports-are-valid
  expression: >-
    [object.metadata.?annotations[?'recmesh.dev/port'].orValue('8088'),
    object.metadata.?annotations[?'recmesh.dev/admin-port'].orValue('9098')].all(port,
    port.matches('^[1-9][0-9]{3,4}$') && int(port) >= 1024 && int(port) <= 65535)
- name: ports-differ
  expression: >-
    object.metadata.?annotations[?'recmesh.dev/port'].orValue('8088') !=
    object.metadata.?annotations[?'recmesh.dev/admin-port'].orValue('9098')
- name: ports-are-free
  expression: >-
    (object.spec.containers + object.spec.?initContainers.orValue([])).all(container,
    container.?ports.orValue([]).all(port, !(string(port.containerPort) in [
    object.metadata.?annotations[?'recmesh.dev/port'].orValue('8088'),
    object.metadata.?annotations[?'recmesh.dev/admin-port'].orValue('9098')])))
{{- end }}

{{- /* Complete rights of the operator in the namespaces of Recommenders. Kubernetes' garbage collection deletes the children
of a Recommender, so the operator deletes only Jobs (a run that is replaced) and credentials that are not needed any more. It reads Secrets only by name: it applies the store
credentials that it derives, and sees in the status of a pod that a Secret of the user is missing. */ -}}
{{- define "recmesh.operatorRules" -}}
- apiGroups: [recmesh.dev]
  resources: [recommenders]
  # patch: the finalizer for deletionPolicy Delete; admissionPolicy rejects all other changes.
  verbs: [get, list, watch, patch]
- apiGroups: [recmesh.dev]
  resources: [recommenders/status]
  verbs: [patch]
# Required for owner references with blockOwnerDeletion.
- apiGroups: [recmesh.dev]
  resources: [recommenders/finalizers]
  verbs: [update]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
# The owners of the serving pods, and those of pods that have no sidecar.
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [get, list]
- apiGroups: [""]
  resources: [configmaps, services]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [serviceaccounts, secrets]
  # delete: those that are not needed any more; admissionPolicy rejects all that no Recommender controls.
  verbs: [get, create, patch, delete]
# Whether the namespace of a Recommender is being deleted.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch]
# patch: the annotation that makes the kubelet refresh the serving config; admissionPolicy rejects all other changes.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# list: only Events state why the pods of a Job are rejected, or why a volume does not mount.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
{{- end }}

{{- /* Signer of the certificates of sidecars. */ -}}
{{- define "recmesh.signer" -}}recmesh.dev/{{ .Values.fullnameOverride }}{{- end }}

{{- /* Admission policy and ClusterRole of the signer. */ -}}
{{- define "recmesh.identityName" -}}{{ .Values.fullnameOverride }}-identity{{- end }}

{{- /* Not empty if the operator signs certificates. A kubelet before 1.37 cannot mount them, so that auto reads the versions of
the nodes, which helm template cannot. It never turns identity off again: apps with certificates do not fall back to plaintext. */ -}}
{{- define "recmesh.identity" -}}
{{- $provider := .Values.mesh.identity.provider -}}
{{- $possible := and (eq .Values.scope "cluster") .Values.operator.leaderElection -}}
{{- if eq $provider "podCertificate" -}}
{{- if not $possible -}}{{- fail "mesh.identity.provider: podCertificate needs scope cluster, and operator.leaderElection for its two replicas" -}}{{- end -}}
true
{{- else if and (eq $provider "auto") $possible -}}
{{- $served := .Capabilities.APIVersions.Has "certificates.k8s.io/v1/PodCertificateRequest" -}}
{{- $nodes := (lookup "v1" "Node" "" "").items -}}
{{- if and (not $nodes) (or $served (include "recmesh.injects" .)) (not (lookup "v1" "Namespace" "" "kube-system")) -}}
{{- fail "mesh.identity.provider: auto reads the versions of the nodes, which is not possible without a cluster; state podCertificate (Kubernetes 1.37 on all nodes) or none" -}}
{{- end -}}
{{- $old := list -}}
{{- range $nodes -}}
{{- if semverCompare "<1.37.0-0" .status.nodeInfo.kubeletVersion -}}{{- $old = append $old .metadata.name -}}{{- end -}}
{{- end -}}
{{- if and $served $nodes (not $old) -}}
true
{{- else if and $nodes (lookup "v1" "Secret" .Release.Namespace "recmesh-identity-root") -}}
{{- fail (printf "mesh.identity.provider: auto would turn identity off, which is on (Secret recmesh-identity-root): not Kubernetes 1.37 %s; upgrade it, or state podCertificate (pods with certificates do not start on older nodes) or none; if it is off already, delete the Secret" (empty $old | ternary "is the API server" (printf "are the nodes %s" (join ", " $old)))) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* Secret that cert-manager writes, with the CA of an issuer; empty if the operator makes a root. */ -}}
{{- define "recmesh.issuerSecret" -}}
{{- if and .Values.mesh.identity.issuerRef.name (include "recmesh.identity" .) -}}recmesh-identity-issuer{{- end -}}
{{- end }}

{{- /* Pods that start wait for a signature: with identity there are at least two operators, unless there is none by choice. */ -}}
{{- define "recmesh.operatorReplicas" -}}
{{- $replicas := int .Values.operator.replicas -}}
{{- if and $replicas (include "recmesh.identity" .) -}}{{- max 2 $replicas -}}{{- else -}}{{- $replicas -}}{{- end -}}
{{- end }}

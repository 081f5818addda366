{{/* Names, labels and the merged policy document. */}}

{{/* What every name begins with. Cut, so that names stay below the API server's limit with what is added to them. */}}
{{- define "cc.name" -}}
{{- $name := .Release.Name -}}
{{- with .Values.nameOverride }}{{ $name = printf "%s-%s" $name . }}{{ end -}}
{{- .Values.fullnameOverride | default $name | trunc 40 | trimSuffix "-" -}}
{{- end }}
{{- define "cc.exporter" -}}{{ include "cc.name" . }}-exporter{{- end }}
{{- define "cc.remediator" -}}{{ include "cc.name" . }}-remediator{{- end }}

{{- define "cc.namespace" -}}{{ .Values.controlcore.namespace | default .Release.Namespace }}{{- end }}

{{/* What is known of the preset, as JSON; the DevOps guide's without one. */}}
{{- define "cc.preset" -}}
{{- get (.Files.Get "files/presets.yaml" | fromYaml) (.Values.exporter.preset | default "devops-guide") | toJson }}
{{- end }}

{{/* Deployment of the control-plane API. */}}
{{- define "cc.deployment" -}}
{{ .Values.controlcore.deployment | default (index (include "cc.preset" . | fromJson).workloads 0) }}
{{- end }}

{{/* Deployments that are watched, as a JSON list under `list`; the API's alone without a preset and without values. */}}
{{- define "cc.workloads" -}}
{{- $api := include "cc.deployment" . -}}
{{- $names := list $api -}}
{{- if .Values.exporter.preset }}{{ $names = (include "cc.preset" . | fromJson).workloads }}{{ end -}}
{{- if .Values.controlcore.workloads }}{{ $names = .Values.controlcore.workloads }}{{ end -}}
{{- dict "list" (prepend (without $names $api) $api) | toJson }}
{{- end }}

{{/* Base URL of the API, as a client inside the cluster reaches it. */}}
{{- define "cc.apiUrl" -}}
{{- $preset := include "cc.preset" . | fromJson -}}
{{- $service := $preset.service -}}
{{- if .Values.controlcore.deployment }}{{ $service = .Values.controlcore.deployment }}{{ end -}}
{{- .Values.controlcore.apiUrl | default (printf "http://%s.%s:%v" $service (include "cc.namespace" .) $preset.servicePort) -}}
{{- end }}

{{/* Labels of an object; `more` are its own further ones. The names that selectors and runbooks rely on win. */}}
{{- define "cc.labels" -}}
{{- $own := include "cc.selector" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "controlcore" -}}
{{- $_ := set $own "app.kubernetes.io/component" (.part | trimPrefix "controlcore-") -}}
{{- $_ := set $own "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version) -}}
{{- merge $own (deepCopy (get . "more" | default dict)) (deepCopy .root.Values.commonLabels) | toYaml -}}
{{- end }}

{{/* Labels of a pod. The versions are left out: a release of the chart alone must not restart the programs. */}}
{{- define "cc.podLabels" -}}
{{- $own := omit (include "cc.labels" (dict "root" .root "part" .part) | fromYaml) "app.kubernetes.io/version" "helm.sh/chart" -}}
{{- merge $own (deepCopy .program.podLabels) | toYaml -}}
{{- end }}

{{/* Immutable in a Deployment: never change what this says. */}}
{{- define "cc.selector" -}}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/name: {{ .part }}
{{- end }}

{{/* An umbrella chart's global.imageRegistry wins: it is where a whole company mirrors its images. */}}
{{- define "cc.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- with (.Values.global | default dict).imageRegistry | default .Values.image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ .Values.image.repository }}{{ hasPrefix "sha256:" $tag | ternary "@" ":" }}{{ $tag }}
{{- end }}

{{- define "cc.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* How Prometheus finds a pod by the guide's configuration. */}}
{{- define "cc.scrape" -}}
{{- if .root.Values.scrapeAnnotations -}}
prometheus.io/scrape: "true"
prometheus.io/path: /metrics
prometheus.io/port: {{ .port | quote }}
{{- if eq (.scheme | default "http") "https" }}
prometheus.io/scheme: https
{{- end }}
{{- end }}
{{- end }}

{{/* Lays `from` over `into`; mappings are merged one level deep. Unlike mergeOverwrite it also writes 0, false and []. */}}
{{- define "cc.change" -}}
{{- $into := .into -}}
{{- range $key, $value := .from -}}
{{-   $before := get $into $key -}}
{{-   if and (kindIs "map" $value) (kindIs "map" $before) -}}
{{-     range $inner, $new := $value }}{{ $_ := set $before $inner $new }}{{ end -}}
{{-   else }}{{ $_ := set $into $key $value }}{{ end -}}
{{- end -}}
{{- end }}

{{/* The shipped policy file for these names, with the values' changes laid over it. */}}
{{- define "cc.policies" -}}
{{- $text := .Files.Get "files/policies.yaml" | replace "http://control-plane-api.controlcore.svc:8000" "API-URL" -}}
{{- $text = $text | replace "control-plane-api" (include "cc.deployment" .) | replace "API-URL" (include "cc.apiUrl" .) -}}
{{- with .Values.controlcore.opalClientUrl }}{{ $text = replace "http://opal-client.invalid:7000" (trimSuffix "/" .) $text }}{{ end -}}
{{- with .Values.controlcore.bouncerUrls }}{{ $text = replace "[\"http://bouncer.invalid:8080\"]" (toJson .) $text }}{{ end -}}
{{- $document := $text | fromYaml -}}
{{- $namespace := include "cc.namespace" . -}}
{{- $policies := list -}}
{{- $changes := .Values.remediator.policies -}}
{{- range $policy := $document.policies -}}
{{-   $change := get $changes $policy.name | default dict -}}
{{-   if ne (toString (get $change "enabled")) "false" -}}
{{-     range $target := $policy.targets }}{{ $_ := set $target "namespace" $namespace }}{{ end -}}
{{-     range $rung := get $policy "ladder" | default list -}}
{{-       range $target := get $rung "targets" | default list }}{{ $_ := set $target "namespace" $namespace }}{{ end -}}
{{-     end -}}
{{-     include "cc.change" (dict "into" $policy "from" (omit $change "enabled" "autoscalers" "scaledObjects" "leastReplicas")) -}}
{{-     $policies = append $policies $policy -}}
{{-   end -}}
{{- end -}}
{{- $shipped := list }}{{ range $document.policies }}{{ $shipped = append $shipped .name }}{{ end -}}
{{- range $name, $change := $changes -}}
{{-   if and (not (has $name $shipped)) (ne (toString (get $change "enabled")) "false") -}}
{{-     $policies = append $policies (merge (dict "name" $name) (omit $change "enabled" "autoscalers" "scaledObjects" "leastReplicas")) -}}
{{-   end -}}
{{- end -}}
{{- $_ := set $document "policies" $policies -}}
{{- if .Values.remediator.identity }}{{ $_ := set $document "identity" .Values.remediator.identity }}{{ end -}}
{{- toYaml $document }}
{{- end }}

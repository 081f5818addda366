{{/* Ports of URLs in a list, as JSON under `list`; a URL without a port counts with the default of its scheme. */}}
{{- define "cc.ports" -}}
{{- $known := dict "http" "80" "https" "443" "postgresql" "5432" "postgres" "5432" "redis" "6379" "rediss" "6379" -}}
{{- $ports := list -}}
{{- range compact . -}}
{{-   $url := urlParse . -}}
{{-   $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (get $known (regexReplaceAll "[+].*" $url.scheme "")) -}}
{{-   $ports = append $ports (int $port) -}}
{{- end -}}
{{- dict "list" ($ports | uniq | sortAlpha) | toJson }}
{{- end }}

{{/* Everybody needs names and the API server, whose address no selector finds. */}}
{{- define "cc.commonEgress" -}}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{- if .Values.exporter.kubernetes | or .Values.remediator.enabled }}
- ports: {{- range .Values.networkPolicy.apiServer.ports }}
    - {port: {{ . }}, protocol: TCP}
  {{- end }}
  {{- with .Values.networkPolicy.apiServer.cidrs }}
  to: {{- range . }}
    - ipBlock: {cidr: {{ . | quote }}}
  {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* TCP to these ports of the product's namespace. */}}
{{- define "cc.productEgress" -}}
{{- with .ports }}
- to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ $.namespace }}}}}]
  ports: {{- range . }}
    - {port: {{ . }}, protocol: TCP}
  {{- end }}
{{- end }}
{{- end }}

{{/* The URLs that the configuration of the exporter names, as JSON under `list`; a preset names the stores' ports. */}}
{{- define "cc.exporterUrls" -}}
{{- $urls := list (include "cc.apiUrl" .) .Values.exporter.database.url .Values.exporter.redis.url -}}
{{- if or .Values.exporter.preset .Values.exporter.database.urlSecret.name }}{{ $urls = append $urls "postgresql://preset" }}{{ end -}}
{{- if or .Values.exporter.preset .Values.exporter.redis.urlSecret.name }}{{ $urls = append $urls "redis://preset" }}{{ end -}}
{{- if .Values.exporter.preset }}{{ range (include "cc.preset" . | fromJson).bouncerPorts }}{{ $urls = append $urls (printf "http://preset:%v" .) }}{{ end }}{{ end -}}
{{- range .Values.exporter.bouncers }}{{ $urls = concat $urls (list .url (get . "opa_url" | default "")) }}{{ end -}}
{{- with .Values.exporter.bouncerDiscovery }}{{ if .enabled }}{{ $urls = append $urls (printf "http://found:%v" .port) }}{{ end }}{{ end -}}
{{- $opal := dig "opal" dict .Values.exporter.collectors -}}
{{- $urls = append $urls (get $opal "server_url" | default "") -}}
{{- range get $opal "clients" | default list }}{{ $urls = append $urls .url }}{{ end -}}
{{- dict "list" $urls | toJson }}
{{- end }}

{{/* What the exporter reaches beside names and the API server. */}}
{{- define "cc.exporterEgress" -}}
{{- include "cc.productEgress" (dict "ports" (include "cc.ports" (include "cc.exporterUrls" . | fromJson).list | fromJson).list "namespace" (include "cc.namespace" .)) }}
{{- with .Values.networkPolicy.exporterEgress }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The same of the remediator: what its policies call, Prometheus and Alertmanager. */}}
{{- define "cc.remediatorEgress" -}}
{{- $urls := list }}
{{- range (include "cc.policies" . | fromYaml).policies }}
{{-   $parameters := get . "parameters" | default dict }}
{{-   $urls = concat $urls (list (get $parameters "url")) (get $parameters "urls" | default list) }}
{{- end }}
{{- include "cc.productEgress" (dict "ports" (include "cc.ports" $urls | fromJson).list "namespace" (include "cc.namespace" .)) }}
- ports: {{- range (include "cc.ports" (list .Values.remediator.prometheusUrl) | fromJson).list }}
    - {port: {{ . }}, protocol: TCP}
  {{- end }}
  {{- with .Values.networkPolicy.scrapers }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
- ports: {{- range (include "cc.ports" (list .Values.remediator.alertmanagerUrl) | fromJson).list }}
    - {port: {{ . }}, protocol: TCP}
  {{- end }}
  {{- with .Values.networkPolicy.alertmanagers }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- with .Values.networkPolicy.remediatorEgress }}
{{ toYaml . }}
{{- end }}
{{- end }}

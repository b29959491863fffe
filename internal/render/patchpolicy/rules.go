// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package patchpolicy

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

var deployments = schema.GroupKind{Group: "apps", Kind: "Deployment"}

// metadata may be changed of every kind that is listed. Labels by which objects are found are put back in any case.
var metadata = []rule{
	allow("metadata.labels", nil),
	allow("metadata.annotations.*", annotation),
}

// byKind are the fields that a patch may change. A kind that is not here, such as those of RBAC, cannot be patched. Selectors are
// on no list: by another one a policy, a budget or a Service would be about pods that are none of the component's.
var byKind = map[schema.GroupKind][]rule{
	deployments: slices.Concat(metadata, fields("spec", "minReadySeconds", "progressDeadlineSeconds", "replicas", "revisionHistoryLimit",
		"strategy"), template("spec.template")),
	{Kind: "Service"}: slices.Concat(metadata, fields("spec", "internalTrafficPolicy", "ipFamilies", "ipFamilyPolicy",
		"sessionAffinity", "sessionAffinityConfig", "trafficDistribution"),
		fields("spec.ports.*", "appProtocol"), further("spec.ports.*", "name", "port", "protocol", "targetPort")),
	{Kind: "ServiceAccount"}: slices.Concat(metadata, fields("", "automountServiceAccountToken", "imagePullSecrets")),
	// Files that the operand has not written itself: a sidecar may have its configuration here.
	{Kind: "ConfigMap"}: slices.Concat(metadata, further("data", "*"), further("binaryData", "*")),
	{Group: "networking.k8s.io", Kind: "NetworkPolicy"}: slices.Concat(metadata, fields("spec", "egress", "ingress", "policyTypes")),
	{Group: "policy", Kind: "PodDisruptionBudget"}: slices.Concat(metadata,
		fields("spec", "maxUnavailable", "minAvailable", "unhealthyPodEvictionPolicy")),
	// How often, and how much of it. What Prometheus requests, from whom and with which credentials stays.
	{Group: "monitoring.coreos.com", Kind: "ServiceMonitor"}: slices.Concat(metadata,
		fields("spec", "bodySizeLimit", "jobLabel", "keepDroppedTargets", "labelLimit", "labelNameLengthLimit", "labelValueLengthLimit",
			"sampleLimit", "scrapeProtocols", "targetLimit", "targetLabels"),
		fields("spec.endpoints.*", "interval", "metricRelabelings", "scrapeTimeout")),
	// When an alert fires, how urgent it is and what it says. None is added: other rules belong into a PrometheusRule of their author.
	{Group: "monitoring.coreos.com", Kind: "PrometheusRule"}: slices.Concat(metadata, fields("spec.groups.*", "interval"),
		fields("spec.groups.*.rules.*", "annotations", "expr", "for", "keep_firing_for", "labels")),
}

// template are the fields of pods. What of them the Pod Security level restricts, podSecurity judges.
func template(at string) []rule {
	pod := at + ".spec"
	rules := slices.Concat(
		[]rule{allow(at+".metadata.labels", nil), allow(at+".metadata.annotations.*", annotation)},
		fields(pod, "affinity", "automountServiceAccountToken", "dnsConfig", "dnsPolicy", "enableServiceLinks", "hostAliases",
			"imagePullSecrets", "nodeSelector", "preemptionPolicy", "priorityClassName", "resources", "runtimeClassName", "schedulerName",
			"securityContext", "terminationGracePeriodSeconds", "tolerations", "topologySpreadConstraints"),
		volumes(pod+".volumes.*"),
	)
	for _, list := range []string{".containers.*", ".initContainers.*"} {
		rules = append(rules, container(pod+list)...)
	}
	return rules
}

func container(at string) []rule {
	return slices.Concat(
		fields(at, "image", "imagePullPolicy", "lifecycle", "livenessProbe", "readinessProbe", "resizePolicy", "resources",
			"restartPolicy", "restartPolicyRules", "securityContext", "startupProbe", "stdin", "stdinOnce", "terminationMessagePath",
			"terminationMessagePolicy", "tty", "volumeMounts", "workingDir"),
		[]rule{allow(at+".args", flags), allow(at+".command", flags)},
		further(at, "name"),
		further(at+".ports.*", "containerPort", "name", "protocol"),
		fields(at+".env.*", "name", "value"),
		fields(at+".env.*.valueFrom", "fieldRef", "fileKeyRef", "resourceFieldRef"),
		reference(at+".env.*.valueFrom.secretKeyRef", "name", secret, "key", "optional"),
		fields(at+".env.*.valueFrom.configMapKeyRef", "name", "key", "optional"),
		fields(at+".envFrom.*", "prefix"),
		reference(at+".envFrom.*.secretRef", "name", secret, "optional"),
		fields(at+".envFrom.*.configMapRef", "name", "optional"),
	)
}

func volumes(at string) []rule {
	source := at + ".projected.sources.*"
	return slices.Concat(
		fields(at, "downwardAPI", "emptyDir", "name"),
		reference(at+".secret", "secretName", secret, "defaultMode", "items", "optional"),
		fields(at+".configMap", "name", "defaultMode", "items", "optional"),
		fields(at+".projected", "defaultMode"),
		// A token, of whatever audience, is one of the operand's own ServiceAccount; trust bundles are public.
		fields(source, "clusterTrustBundle", "downwardAPI", "serviceAccountToken"),
		reference(source+".secret", "name", secret, "items", "optional"),
		fields(source+".configMap", "name", "items", "optional"),
	)
}

// fields allows the fields of an object.
func fields(at string, names ...string) []rule {
	var rules []rule
	for _, name := range names {
		if at != "" {
			name = at + "." + name
		}
		rules = append(rules, allow(name, nil))
	}
	return rules
}

// further allows the fields of an object that is not there without patches. What the component needs, such as its container and the
// port that the API server connects to, stays as it is.
func further(at string, names ...string) []rule {
	var rules []rule
	for _, name := range names {
		rules = append(rules, allow(at+"."+name, added))
	}
	return rules
}

// reference allows a reference to a Secret, whose name is judged.
func reference(at, name string, judge func(change) string, others ...string) []rule {
	return append(fields(at, others...), allow(at+"."+name, judge))
}

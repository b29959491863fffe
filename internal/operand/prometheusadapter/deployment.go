// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand"
)

const (
	defaultRelistInterval = time.Minute
	// Where it listens in the network of a node. Not upstream's 6443, which an API server may have there, nor 6444, which is k3s'.
	hostPort = 4444

	// An annotation on the adapter's pods: it reads its credentials once, at start, so a change of them has to replace the pods.
	credentialsDigestAnnotation = "metricspipeline.io/credentials-digest"
)

// egressPorts are those that the asset's NetworkPolicy lists.
var egressPorts = []int32{53, 443, 6443}

// deployment returns the changes to the adapter's Deployment.
func deployment(in operand.Input, config string) *operand.Deployment {
	spec := in.Spec.PrometheusAdapter
	d := &operand.Deployment{}
	d.Options(spec.ComponentOptions, in.Facts, hostPort)
	for _, arg := range sourceArgs(in) {
		d.Arg("%s", arg)
	}
	d.Arg("--metrics-relist-interval=%s", spec.RelistInterval.Or(defaultRelistInterval))
	d.Arg("--metrics-max-age=%s", maxAge(in))

	annotations := map[string]string{operand.ConfigDigestAnnotation: operand.Digest(config)}
	if digest := credentialsDigest(in); digest != "" {
		access(d, in)
		annotations[credentialsDigestAnnotation] = digest
	}
	d.Annotate(annotations)

	for _, extra := range spec.ExtraArgs {
		d.Arg("%s", extra)
	}
	return d
}

// credentialsDigest changes with the content of whatever spec.prometheus names, or of what the operator's own Prometheus is queried with;
// empty where that is nothing.
func credentialsDigest(in operand.Input) string {
	if in.Spec.Prometheus.Auth == nil && in.Spec.Prometheus.TLS == nil && !in.Facts.Prometheus.Target.Managed {
		return ""
	}
	return in.Facts.Prometheus.Access.Digest()
}

// queries is true of a form whose pods query the present source, with the present credentials.
func queries(form *operand.LastGood, in operand.Input) bool {
	digest, args, found := pods(form)
	return found && digest == credentialsDigest(in) && slices.Equal(args, sourceArgs(in))
}

// pods returns the digest of the credentials that the pods of a form present, and their arguments that say where they query. An
// argument of the user's comes after those of the operator's and is not among them.
func pods(form *operand.LastGood) (digest string, args []string, found bool) {
	if form == nil {
		return "", nil, false
	}
	index := slices.IndexFunc(form.Objects, func(object *unstructured.Unstructured) bool {
		return object.GetKind() == "Deployment" && object.GetName() == Name
	})
	if index < 0 {
		return "", nil, false
	}
	deployment := form.Objects[index].Object
	digest, _, _ = unstructured.NestedString(deployment, "spec", "template", "metadata", "annotations", credentialsDigestAnnotation)
	containers, _, _ := unstructured.NestedSlice(deployment, "spec", "template", "spec", "containers")
	for _, container := range containers {
		fields, _ := container.(map[string]any)
		all, _, _ := unstructured.NestedStringSlice(fields, "args")
		first := slices.IndexFunc(all, func(arg string) bool { return strings.HasPrefix(arg, sourceFlag) })
		if first < 0 {
			continue
		}
		args = all[first : first+1]
		if len(all) > first+1 && strings.HasPrefix(all[first+1], verbFlag) {
			args = all[first : first+2]
		}
		return digest, args, true
	}
	return digest, nil, false
}

// maxAge returns how long a series counts as existing. The adapter exits when that is less than the relist interval,
// and a metric vanishes between two scrapes when it is less than the scrape interval.
func maxAge(in operand.Input) time.Duration {
	spec := in.Spec.PrometheusAdapter
	relist := spec.RelistInterval.Or(defaultRelistInterval)
	return max(relist, spec.MaxAge.Or(max(2*relist, 3*in.Facts.ScrapeInterval(in.Spec.Scrape))))
}

// maxAgeFindings says when metrics vanish between two scrapes.
func maxAgeFindings(in operand.Input) []operand.Finding {
	stated, interval := in.Spec.PrometheusAdapter.MaxAge.Or(0), in.Facts.ScrapeInterval(in.Spec.Scrape)
	if stated == 0 || stated >= interval {
		return nil
	}
	by := in.Facts.Prometheus.Target.Object + " scrapes"
	if own := in.Spec.Scrape.Interval.Or(0); own == interval {
		by = "by spec.scrape.interval apps are scraped"
	}
	return []operand.Finding{{Condition: v1alpha1.ConditionPrometheusReady, Reason: v1alpha1.ReasonMaxAgeTooShort, Stalled: true,
		Message: fmt.Sprintf("prometheusAdapter.maxAge is %s and %s every %s, so metrics vanish between two scrapes; raise maxAge, "+
			"or leave it unset.", stated, by, interval)}}
}

// egress opens the NetworkPolicy to the API server and to Prometheus. Behind a Prometheus object the port is the pods' own. A
// URL may lead to a Service that translates its port, and network plugins compare the pod's, which cannot be known, as that of what a
// proxy in the adapter's pod connects to: then every port is open.
func egress(in operand.Input) []operand.Patch {
	if in.Spec.Prometheus.URL == "" && in.Spec.Prometheus.AdapterURL == "" {
		ports := slices.Concat(in.Facts.APIServerPorts, []int32{port(in.Facts.Prometheus.Target.URL)})
		return operand.EgressPatches(Name, egressPorts, ports...)
	}
	anyPort := operand.Operation{Op: "add", Path: "/spec/egress/0/ports/-", Value: map[string]any{"protocol": corev1.ProtocolTCP}}
	return []operand.Patch{operand.PatchOf("NetworkPolicy", Name, anyPort)}
}

// port returns the TCP port of a URL that the schema accepted.
func port(raw string) int32 {
	parsed, err := url.Parse(raw)
	if err != nil {
		return 443
	}
	if number, err := strconv.ParseInt(parsed.Port(), 10, 32); err == nil {
		return int32(number)
	}
	if parsed.Scheme == "http" {
		return 80
	}
	return 443
}

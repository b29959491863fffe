// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand"
)

const (
	defaultRelistInterval = time.Minute

	// credentialsPath is where the adapter finds what spec.prometheus names.
	credentialsPath = "/etc/prometheus"

	// Annotations on the adapter's pods: it reads its rules and credentials once, at start, so a change of either has
	// to replace the pods.
	configDigestAnnotation      = "metricspipeline.io/config-digest"
	credentialsDigestAnnotation = "metricspipeline.io/credentials-digest"
	// sourceFlag is the adapter's for the URL of Prometheus.
	sourceFlag = "--prometheus-url="
)

// egressPorts are those that the asset's NetworkPolicy lists.
var egressPorts = []int32{53, 443, 6443}

// deployment returns the changes to the adapter's Deployment.
func deployment(in operand.Input, config string) *operand.Deployment {
	spec := in.Spec.PrometheusAdapter
	d := &operand.Deployment{}
	d.Options(spec.ComponentOptions, in.Facts)
	d.Arg(sourceFlag+"%s", in.Facts.Prometheus.Target.URL)
	d.Arg("--metrics-relist-interval=%s", spec.RelistInterval.Or(defaultRelistInterval))
	d.Arg("--metrics-max-age=%s", maxAge(in))

	annotations := map[string]string{configDigestAnnotation: operand.Digest(config)}
	if digest := credentialsDigest(in); digest != "" {
		credentials(d, in.Spec.Prometheus)
		annotations[credentialsDigestAnnotation] = digest
	}
	d.Annotate(annotations)

	for _, extra := range spec.ExtraArgs {
		d.Arg("%s", extra)
	}
	return d
}

// credentialsDigest changes with the content of whatever spec.prometheus names; empty where it names nothing.
func credentialsDigest(in operand.Input) string {
	if in.Spec.Prometheus.Auth == nil && in.Spec.Prometheus.TLS == nil {
		return ""
	}
	return in.Facts.Prometheus.Access.Digest()
}

// queries is true of a form whose pods query the present source, with the present credentials.
func queries(form *operand.LastGood, in operand.Input) bool {
	index := slices.IndexFunc(form.Objects, func(object *unstructured.Unstructured) bool {
		return object.GetKind() == "Deployment" && object.GetName() == Name
	})
	if index < 0 {
		return false
	}
	deployment := form.Objects[index].Object
	digest, _, _ := unstructured.NestedString(deployment, "spec", "template", "metadata", "annotations", credentialsDigestAnnotation)
	containers, _, _ := unstructured.NestedSlice(deployment, "spec", "template", "spec", "containers")
	return digest == credentialsDigest(in) && slices.ContainsFunc(containers, func(container any) bool {
		fields, _ := container.(map[string]any)
		args, _, _ := unstructured.NestedStringSlice(fields, "args")
		return slices.Contains(args, sourceFlag+in.Facts.Prometheus.Target.URL)
	})
}

// credentials mounts what the adapter presents to Prometheus and verifies it by.
func credentials(d *operand.Deployment, spec v1alpha1.PrometheusSpec) {
	if spec.Auth != nil && spec.Auth.BearerToken != nil {
		token := spec.Auth.BearerToken
		d.Mount(secretVolume("prometheus-token", token.Name), credentialsPath+"/token")
		d.Arg("--prometheus-token-file=%s/token/%s", credentialsPath, token.Key)
	}
	if spec.TLS == nil {
		return
	}
	if authority := spec.TLS.CA; authority != nil && authority.Secret != nil {
		d.Mount(secretVolume("prometheus-ca", authority.Secret.Name), credentialsPath+"/ca")
		d.Arg("--prometheus-ca-file=%s/ca/%s", credentialsPath, authority.Secret.Key)
	} else if authority != nil && authority.ConfigMap != nil {
		d.Mount(corev1.Volume{Name: "prometheus-ca", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: authority.ConfigMap.Name}}}}, credentialsPath+"/ca")
		d.Arg("--prometheus-ca-file=%s/ca/%s", credentialsPath, authority.ConfigMap.Key)
	}
	if client := spec.TLS.ClientCert; client != nil {
		d.Mount(secretVolume("prometheus-client", client.Name), credentialsPath+"/client")
		d.Arg("--prometheus-client-tls-cert-file=%s/client/%s", credentialsPath, corev1.TLSCertKey)
		d.Arg("--prometheus-client-tls-key-file=%s/client/%s", credentialsPath, corev1.TLSPrivateKeyKey)
	}
}

func secretVolume(name, secret string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret}}}
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
// URL may lead to a Service that translates its port, and network plugins compare the pod's, which cannot be known: then every
// port is open.
func egress(in operand.Input) []operand.Patch {
	if in.Spec.Prometheus.URL == "" {
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

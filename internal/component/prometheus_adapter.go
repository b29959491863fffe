// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// PrometheusAdapter is the name of the component that serves custom.metrics.k8s.io and external.metrics.k8s.io.
const PrometheusAdapter = "prometheus-adapter"

const (
	defaultRelistInterval = time.Minute

	// credentialsPath is where the adapter finds what spec.prometheus.tls and auth name.
	credentialsPath = "/etc/prometheus"

	// Annotations on the adapter's pods: it reads its rules and credentials once, at start, so a change of either has
	// to replace the pods.
	configDigestAnnotation      = "metricspipeline.io/config-digest"
	credentialsDigestAnnotation = "metricspipeline.io/credentials-digest"
	// sourceFlag is that of the adapter for the URL of Prometheus.
	sourceFlag = "--prometheus-url="
)

// prometheusAdapterPorts are the egress ports that the asset's NetworkPolicy lists.
var prometheusAdapterPorts = []int32{53, 443, 6443}

// prometheusAdapter adds prometheus-adapter when there is a rule for it to serve and a Prometheus to ask.
func prometheusAdapter(spec v1alpha1.MetricsPipelineSpec, caps Capabilities, plan *Plan) {
	var served []API
	serve := func(field string, stated, accepted int, apis ...API) {
		if plan.withholds(apis[0]) {
			return
		}
		if omission, omitted := omission(field, stated, accepted, caps); omitted {
			for _, api := range apis {
				plan.Omitted[api.Name()] = omission
			}
			return
		}
		served = append(served, apis...)
	}
	serve("spec.customMetrics.rules", len(spec.CustomMetrics.Rules), caps.Rules.Custom, CustomMetricsBeta1, CustomMetricsBeta2)
	serve("spec.externalMetrics.rules", len(spec.ExternalMetrics.Rules), caps.Rules.External, ExternalMetricsBeta)
	if len(served) == 0 {
		return
	}

	plan.Components = append(plan.Components, Component{
		Name:      PrometheusAdapter,
		Namespace: caps.Namespace,
		Image:     image(spec.PrometheusAdapter.ComponentOptions, caps, PrometheusAdapter),
		Variants:  variants(spec.PrometheusAdapter.ComponentOptions, caps),
		Files:     map[string]string{"config.yaml": caps.Rules.Config},
		Patches: slices.Concat(
			[]Patch{patchOf("Deployment", PrometheusAdapter, adapterDeployment(spec, caps)...)},
			monitorPatches(PrometheusAdapter, caps),
			adapterEgress(spec, caps),
		),
		UserPatches: spec.Patches,
		APIs:        served,
	})
}

// omission returns why an API with so many stated and accepted rules is not registered, if it is not.
func omission(field string, stated, accepted int, caps Capabilities) (Omission, bool) {
	switch {
	case stated == 0:
		return Omission{
			Reason:  v1alpha1.ReasonNoRules,
			Message: field + " is empty, so the API is not registered and would serve nothing; add a rule to register it.",
		}, true
	case accepted == 0:
		return Omission{
			Reason: v1alpha1.ReasonConfigurationInvalid,
			Message: fmt.Sprintf("None of the %d rules in %s is usable, see status.rules; correct one to register the API.",
				stated, field),
		}, true
	case caps.Prometheus.URL == "":
		return Omission{
			Reason:  v1alpha1.ReasonWaitingForBackend,
			Message: "There is no Prometheus to ask, see the condition PrometheusReady.",
		}, true
	}
	return Omission{}, false
}

// adapterDeployment returns the changes to the adapter's Deployment.
func adapterDeployment(spec v1alpha1.MetricsPipelineSpec, caps Capabilities) []operation {
	adapter := spec.PrometheusAdapter
	var d deployment
	d.options(adapter.ComponentOptions)
	d.arg(sourceFlag+"%s", caps.Prometheus.URL)
	d.arg("--metrics-relist-interval=%s", adapter.RelistInterval.Or(defaultRelistInterval))
	d.arg("--metrics-max-age=%s", maxAge(adapter, caps))

	annotations := map[string]string{configDigestAnnotation: digest(caps.Rules.Config)}
	if spec.Prometheus.Auth != nil || spec.Prometheus.TLS != nil {
		credentials(&d, spec.Prometheus)
		annotations[credentialsDigestAnnotation] = caps.Prometheus.CredentialsDigest
	}
	d.annotate(annotations)

	for _, extra := range adapter.ExtraArgs {
		d.arg("%s", extra)
	}
	return d.operations
}

// Asks is true for the pods of an adapter that ask this source, with these credentials.
func (s Source) Asks(adapter corev1.PodTemplateSpec) bool {
	asks := slices.ContainsFunc(adapter.Spec.Containers, func(c corev1.Container) bool { return slices.Contains(c.Args, sourceFlag+s.URL) })
	return asks && adapter.Annotations[credentialsDigestAnnotation] == s.CredentialsDigest
}

// credentials mounts what the adapter presents to Prometheus and verifies it by.
func credentials(d *deployment, spec v1alpha1.PrometheusSpec) {
	auth, tls := ptr.Deref(spec.Auth, v1alpha1.PrometheusAuth{}), ptr.Deref(spec.TLS, v1alpha1.ClientTLS{})
	authority := ptr.Deref(tls.CA, v1alpha1.CertificateAuthority{})
	if token := auth.BearerToken; token != nil {
		d.mount(secretVolume("prometheus-token", token.Name), credentialsPath+"/token")
		d.arg("--prometheus-token-file=%s/token/%s", credentialsPath, token.Key)
	}
	if ca := authority.Secret; ca != nil {
		d.mount(secretVolume("prometheus-ca", ca.Name), credentialsPath+"/ca")
		d.arg("--prometheus-ca-file=%s/ca/%s", credentialsPath, ca.Key)
	}
	if ca := authority.ConfigMap; ca != nil {
		d.mount(corev1.Volume{Name: "prometheus-ca", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: ca.Name}}}}, credentialsPath+"/ca")
		d.arg("--prometheus-ca-file=%s/ca/%s", credentialsPath, ca.Key)
	}
	if client := tls.ClientCert; client != nil {
		d.mount(secretVolume("prometheus-client", client.Name), credentialsPath+"/client")
		d.arg("--prometheus-client-tls-cert-file=%s/client/%s", credentialsPath, corev1.TLSCertKey)
		d.arg("--prometheus-client-tls-key-file=%s/client/%s", credentialsPath, corev1.TLSPrivateKeyKey)
	}
}

func secretVolume(name, secret string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret}}}
}

// maxAge returns how long a series counts as existing. The adapter exits when that is less than the relist interval,
// and a metric vanishes between two scrapes when it is less than the scrape interval.
func maxAge(adapter v1alpha1.PrometheusAdapterSpec, caps Capabilities) time.Duration {
	relist := adapter.RelistInterval.Or(defaultRelistInterval)
	return max(relist, adapter.MaxAge.Or(max(2*relist, 3*caps.Prometheus.ScrapeInterval)))
}

// adapterEgress opens the NetworkPolicy to the API server and to Prometheus. Behind a Prometheus object the port is the
// pods' own. A URL may lead to a Service that translates its port, and network plugins compare the pod's, which cannot be
// known: then every port is open.
func adapterEgress(spec v1alpha1.MetricsPipelineSpec, caps Capabilities) []Patch {
	if spec.Prometheus.URL == "" {
		ports := slices.Concat(caps.APIServerPorts, []int32{port(caps.Prometheus.URL)})
		return egressPatches(PrometheusAdapter, prometheusAdapterPorts, ports...)
	}
	anyPort := operation{Op: "add", Path: "/spec/egress/0/ports/-", Value: map[string]any{"protocol": corev1.ProtocolTCP}}
	return []Patch{patchOf("NetworkPolicy", PrometheusAdapter, anyPort)}
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

func digest(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:8])
}

// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package metricsserver

import (
	"cmp"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/kubelet"
	"github.com/metricspipeline/operator/internal/operand"
)

const (
	// authorityFlag and selectorFlag are metrics-server's.
	authorityFlag = "--kubelet-certificate-authority"
	selectorFlag  = "--node-selector"
	// authorityField is where the spec names who signs the kubelets' certificates.
	authorityField = "metricsServer.kubelet.tls.ca"
	// authorityPath is where its pods find the authority that the spec names, and authorityFile its name there.
	authorityPath = "/etc/kubelet-ca"
	authorityFile = "ca.crt"
	// authorityDigestAnnotation is on the pods, which read the authority at start: a change of it replaces them.
	authorityDigestAnnotation = "metricspipeline.io/kubelet-ca-digest"
	// intervals is how many of the resolution a node may be without metrics: the first two reads give none.
	intervals = 4
)

// kubelets sets how the kubelets are reached and verified.
func kubelets(d *operand.Deployment, in operand.Input) {
	spec := in.Spec.MetricsServer.Kubelet
	if types := spec.PreferredAddressTypes; len(types) > 0 {
		d.Arg("--kubelet-preferred-address-types=%s", strings.Join(types, ","))
	}
	switch ca := spec.TLS.CA; {
	case spec.TLS.Verification == v1alpha1.TLSInsecure:
		d.Arg("--kubelet-insecure-tls")
	case ca != nil:
		d.Mount(authorityVolume(*ca), authorityPath)
		d.Arg(authorityFlag+"=%s/%s", authorityPath, authorityFile)
		d.Annotate(map[string]string{authorityDigestAnnotation: operand.Digest(string(in.Facts.Authorities[authorityField].Content))})
	}
}

// port sets at which port the kubelets are: that of the node's status takes precedence over the other flag.
func port(d *operand.Deployment, spec v1alpha1.KubeletSpec) {
	if spec.Port != 0 {
		d.Arg("--kubelet-port=%d", spec.Port)
	} else {
		d.Arg("--kubelet-use-node-status-port")
	}
}

// authorityVolume has the one key that is named: the others of a Secret are not metrics-server's business.
func authorityVolume(ca v1alpha1.CertificateAuthority) corev1.Volume {
	volume := corev1.Volume{Name: "kubelet-ca"}
	if of := ca.Secret; of != nil {
		volume.Secret = &corev1.SecretVolumeSource{SecretName: of.Name, Items: []corev1.KeyToPath{{Key: of.Key, Path: authorityFile}}}
	} else if of := ca.ConfigMap; of != nil {
		volume.ConfigMap = &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: of.Name},
			Items: []corev1.KeyToPath{{Key: of.Key, Path: authorityFile}}}
	}
	return volume
}

// access is how the operator asks the kubelets in metrics-server's place. What an argument of the user's says by which authority they
// are verified, the operator does not know.
func access(in operand.Input) *kubelet.Access {
	spec := in.Spec.MetricsServer
	a := &kubelet.Access{
		AddressTypes: spec.Kubelet.PreferredAddressTypes, Port: spec.Kubelet.Port,
		Authority:  in.Facts.Authorities[authorityField].Content,
		Unverified: spec.Kubelet.TLS.Verification == v1alpha1.TLSInsecure || given(spec.ExtraArgs, authorityFlag),
		Selective:  given(spec.ExtraArgs, selectorFlag),
		Patience:   intervals * spec.MetricResolution.Or(defaultResolution),
		Log: fmt.Sprintf("Look for the node's name in the log of %s (kubectl -n %s logs deploy/%s): a status 401 or 403 there means that "+
			"the kubelet does not let the API server decide who may read it (authentication.webhook.enabled: true and authorization.mode: "+
			"Webhook in its configuration).", Name, in.Facts.Namespace, Name),
		Unverifiable: unverifiable(spec.Kubelet.TLS),
		Unreachable: fmt.Sprintf("Let the pods of namespace %s reach TCP port %d of the nodes: look at firewalls and NetworkPolicies, at "+
			"spec.metricsServer.kubelet.port, and at spec.metricsServer.kubelet.preferredAddressTypes.", in.Facts.Namespace,
			cmp.Or(spec.Kubelet.Port, 10250)),
	}
	if len(a.AddressTypes) == 0 {
		a.AddressTypes = defaultAddressTypes
	}
	return a
}

// defaultAddressTypes are metrics-server's own, where the schema's default was bypassed.
var defaultAddressTypes = []string{"Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"}

// unverifiable are the remedies where no kubelet's certificate verifies: the safe ones first.
func unverifiable(spec v1alpha1.KubeletTLS) string {
	name := "where another authority has signed them, name it in spec.metricsServer.kubelet.tls.ca"
	if spec.CA != nil {
		name = "or name the authority that has signed them in spec.metricsServer.kubelet.tls.ca, which verifies none of them now"
	}
	return "Have the cluster's authority sign the kubelets' certificates: set serverTLSBootstrap: true in each kubelet's configuration, " +
		"restart it, and approve its request (kubectl get csr, then kubectl certificate approve NAME); " + name + ". On a cluster for " +
		"tests (kind, minikube), set spec.metricsServer.kubelet.tls.verification: Insecure instead: any process that answers on a node's " +
		"address can then forge its numbers."
}

// given is true where arguments have a flag.
func given(arguments []string, flag string) bool {
	for _, argument := range arguments {
		if name, _, _ := strings.Cut(argument, "="); name == flag {
			return true
		}
	}
	return false
}

// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"fmt"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// selectors reads the namespace selectors, and returns which cannot be read.
func (s *settings) selectors(spec v1alpha1.ScrapeSpec) string {
	type stated struct {
		field    string
		selector *metav1.LabelSelector
		to       *labels.Selector
	}
	all := []stated{{"", spec.NamespaceSelector, &s.namespaces}}
	if hosts := spec.HostNetworkPods; hosts != nil {
		all = append(all, stated{"hostNetworkPods.", &hosts.NamespaceSelector, &s.hosts})
	}
	if honors := spec.HonorLabels; honors != nil {
		all = append(all, stated{"honorLabels.", &honors.NamespaceSelector, &s.honors})
	}
	if tokens := spec.BearerToken; tokens != nil {
		all = append(all, stated{"bearerToken.", &tokens.NamespaceSelector, &s.tokens})
	}
	for _, stated := range all {
		if stated.selector == nil {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(stated.selector)
		if err != nil {
			return fmt.Sprintf("spec.scrape.%snamespaceSelector cannot be read: %v.", stated.field, err)
		}
		*stated.to = selector
	}
	return ""
}

// texts copies names as the texts that they are; nil where there are none.
func texts[T ~string](names []T) []string {
	var all []string
	for _, name := range names {
		all = append(all, string(name))
	}
	return all
}

// authority writes a certificate authority as prometheus-operator takes it.
func authority(ca *v1alpha1.CertificateAuthority) *monitoringv1.SecretOrConfigMap {
	switch {
	case ca != nil && ca.Secret != nil:
		return &monitoringv1.SecretOrConfigMap{Secret: secretKey(*ca.Secret)}
	case ca != nil && ca.ConfigMap != nil:
		return &monitoringv1.SecretOrConfigMap{ConfigMap: &corev1.ConfigMapKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: ca.ConfigMap.Name}, Key: ca.ConfigMap.Key}}
	}
	return nil
}

func token(bearer *v1alpha1.ScrapeBearerToken) *corev1.SecretKeySelector {
	if bearer == nil {
		return nil
	}
	return secretKey(bearer.Secret)
}

func secretKey(reference v1alpha1.KeyReference) *corev1.SecretKeySelector {
	return &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: reference.Name}, Key: reference.Key}
}

// scrapes is true when apps of a namespace with these labels are scraped at all.
func (s *settings) scrapes(set map[string]string) bool {
	optOut, labeled := set[v1alpha1.ScrapeOptOutLabel]
	return s.namespaces.Matches(labels.Set(set)) && (!labeled || optOut == "true")
}

// scrapesHosts is true when Pods in the network of their node may be scraped in a namespace with these labels.
func (s *settings) scrapesHosts(set map[string]string) bool { return s.hosts.Matches(labels.Set(set)) }

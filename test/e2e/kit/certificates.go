// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
)

// CertificateSecrets returns the pipeline's Secrets of certificates, the authority's first: no reconcile may see a serving certificate
// deleted and the authority still there, and put both back with the old one.
func (c *Cluster) CertificateSecrets(ctx context.Context) ([]corev1.Secret, error) {
	list := &corev1.SecretList{}
	err := c.Client.List(ctx, list, client.InNamespace(OperatorNamespace),
		client.MatchingLabels{v1alpha1.ManagedLabel: v1alpha1.SingletonName},
		client.MatchingFields{"type": string(corev1.SecretTypeTLS)})
	if err != nil {
		return nil, err
	}
	authority := slices.IndexFunc(list.Items, func(secret corev1.Secret) bool { return secret.Name == "metricspipeline-ca" })
	if authority < 0 {
		return nil, errors.New("the authority has no Secret")
	}
	return slices.Concat(list.Items[authority:], list.Items[:authority]), nil
}

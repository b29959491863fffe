// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/kinds"
)

// Authority is a certificate authority that the spec names.
type Authority struct {
	// Content is PEM; nil where the spec names nothing, and where it is missing.
	Content []byte
	// Missing says what is not there; empty where nothing is missing.
	Missing string
}

// nodes returns the names of the nodes, sorted. There may be thousands, and nothing of them is changed, so they are not copied.
func (s *Source) nodes(ctx context.Context) ([]string, error) {
	list, ok := kinds.Node.NewList().(*metav1.PartialObjectMetadataList)
	if !ok {
		return nil, errors.New("list nodes: they are not cached as metadata")
	}
	if err := s.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	names := make([]string, 0, len(list.Items))
	for _, node := range list.Items {
		names = append(names, node.Name)
	}
	slices.Sort(names)
	return names, nil
}

// authorities reads those that operands' sections of the spec name, by field.
func (s *Source) authorities(ctx context.Context, spec v1alpha1.MetricsPipelineSpec) (map[string]Authority, error) {
	if s.Authorities == nil {
		return nil, nil
	}
	found := map[string]Authority{}
	var failures []error
	for field, named := range s.Authorities(spec) {
		authority, err := s.authority(ctx, field, named)
		found[field] = authority
		failures = append(failures, err)
	}
	return found, errors.Join(failures...)
}

// authority reads one that a field names. A missing object is a fact, not an error: its creation brings an event.
func (s *Source) authority(ctx context.Context, field string, named *v1alpha1.CertificateAuthority) (Authority, error) {
	var found Authority
	ref, isNamed := authorityReference(field, named, &found.Content)
	if !isNamed {
		return found, nil
	}
	missing, err := s.readKey(ctx, ref)
	switch {
	case err != nil:
		found.Missing = fmt.Sprintf("spec.%s: %v", ref.field, err)
	case missing != "":
		found.Missing = fmt.Sprintf("spec.%s: %s", ref.field, missing)
	case !x509.NewCertPool().AppendCertsFromPEM(found.Content):
		found = Authority{Missing: fmt.Sprintf("spec.%s: key %s of %s has no certificate in PEM, so what reads it would not start; "+
			"correct it", ref.field, ref.key.Key, ref.key.Name)}
	}
	return found, err
}

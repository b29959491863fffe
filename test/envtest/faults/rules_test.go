// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/certs"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// TestRulesCanBeBroken: each rule of the history finds what it is there for, in the order of revisions and not of arrival.
func TestRulesCanBeBroken(t *testing.T) {
	authority, _, err := certs.EnsureAuthority(certs.Pair{}, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	leaf, _, err := certs.EnsureServing(certs.Pair{}, authority, []string{"backend"},
		certs.LifetimeFor(v1alpha1.CertificatesSpec{}), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	stranger, _, err := certs.EnsureAuthority(certs.Pair{}, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	service, deployment, secret := thing("Service", "backend", nil), thing("Deployment", "backend", nil), thing("Secret", "backend-tls", map[string]any{
		"data": map[string]any{"tls.crt": base64.StdEncoding.EncodeToString(leaf.Cert), "tls.key": base64.StdEncoding.EncodeToString(leaf.Key)}})
	good := registration(authority.Cert, false)

	for _, test := range []struct {
		name   string
		events []event
		broken string
	}{
		{name: "all in order", events: []event{at(1, service), at(2, deployment), at(3, secret), at(4, good), gone(5, good), gone(6, deployment)}},
		{name: "events in another order", events: []event{gone(6, deployment), at(4, good), at(1, service), gone(5, good), at(2, deployment)}},
		{name: "empty caBundle", events: []event{at(1, service), at(2, deployment), at(3, registration(nil, false))}, broken: "verifies no certificate"},
		{name: "skips verification", events: []event{at(1, service), at(2, deployment), at(3, registration(authority.Cert, true))}, broken: "verifies no certificate"},
		{name: "no Deployment yet", events: []event{at(1, service), at(2, good), at(3, deployment)}, broken: "no Deployment backend"},
		{name: "no Service yet", events: []event{at(1, deployment), at(2, good)}, broken: "no Service backend"},
		{name: "backend removed first", events: []event{at(1, service), at(2, deployment), at(3, good), gone(4, deployment), gone(5, good)},
			broken: "the operator deleted Deployment backend"},
		{name: "made again after the operator removed the backend", events: []event{
			at(1, service), at(2, deployment), gone(3, deployment), at(4, good)}, broken: "no Deployment backend"},
		{name: "backend removed by others", events: []event{
			at(1, service), at(2, deployment), at(3, good), gone(4, thing("Service", "backend", "other")), gone(5, good), at(6, good)}},
		{name: "certificate of a stranger", events: []event{
			at(1, service), at(2, deployment), at(3, registration(stranger.Cert, false)), at(4, secret)}, broken: "does not trust the certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := &history{now: state{}, removed: map[types.UID]bool{}, removals: map[string]types.UID{}, pending: test.events}
			h.wrote(write{verb: "delete", uid: "operator's"})
			broken := strings.Join(h.judge(0), "\n")
			if test.broken == "" && broken != "" || !strings.Contains(broken, test.broken) {
				t.Errorf("broken: %q, want %q", broken, test.broken)
			}
		})
	}
}

func at(revision uint64, object *unstructured.Unstructured) event {
	return event{revision: revision, object: object}
}

func gone(revision uint64, object *unstructured.Unstructured) event {
	return event{revision: revision, object: object, deleted: true}
}

// thing is an object whose deletion is the operator's unless its content is a text.
func thing(kind, name string, content any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{}}
	if fields, ok := content.(map[string]any); ok {
		object.Object = fields
	}
	object.SetKind(kind)
	object.SetName(name)
	object.SetUID("operator's")
	if _, others := content.(string); others {
		object.SetUID("another's")
	}
	return object
}

func registration(caBundle []byte, skip bool) *unstructured.Unstructured {
	return thing("APIService", "v1.example.com", map[string]any{"spec": map[string]any{
		"caBundle": base64.StdEncoding.EncodeToString(caBundle), "insecureSkipTLSVerify": skip,
		"service": map[string]any{"namespace": harness.OperatorNamespace, "name": "backend"},
	}})
}

// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// TestFaultStays: what fails for one component touches no other, and does not take what the one serves with; only what cannot
// wait goes to another provider.
func TestFaultStays(t *testing.T) {
	const hour, year = time.Hour, 365 * 24 * time.Hour
	for name, tc := range map[string]struct {
		spec v1alpha1.CertificatesSpec
		// fault is about the component "one"; it and "two" have had a certificate of cert-manager for so long.
		fault   func(*world)
		serving time.Duration
		one     v1alpha1.CertificateProvider
		says    string
		overdue bool
	}{
		"its Certificate is refused":          {company, func(w *world) { w.writer.refused["Certificate one"] = true }, hour, manager, "Certificate one is refused", false},
		"it is refused, and overdue":          {company, func(w *world) { w.writer.refused["Certificate one"] = true }, year - hour, manager, "Certificate one is refused", true},
		"it is refused, and ended":            {company, func(w *world) { w.writer.refused["Certificate one"] = true }, year + hour, none, "Certificate one is refused", false},
		"its Certificate is contested":        {company, func(w *world) { w.writer.contested["Certificate one"] = true }, hour, manager, "", false},
		"cert-manager's Secret is unreadable": {company, func(w *world) { w.unreadable["one-issued"] = true }, hour, manager, "one-issued is unreadable", false},
		"it cannot be adopted":                {company, func(w *world) { w.unpatchable["one-issued"] = true }, hour, manager, "one-issued is unpatchable", false},
		"its Secret is contested":             {company, func(w *world) { w.writer.contested["Secret one-tls"] = true }, hour, none, "Secret one-tls is contested", false},
		"by default, refused":                 {v1alpha1.CertificatesSpec{}, func(w *world) { w.writer.refused["Certificate one"] = true }, hour, manager, "Certificate one is refused", false},
		"by default, refused, and overdue":    {v1alpha1.CertificatesSpec{}, func(w *world) { w.writer.refused["Certificate one"] = true }, year - hour, builtIn, "Certificate one is refused", false},
		"built in, its Secret is unreadable":  {v1alpha1.CertificatesSpec{Provider: builtIn}, func(w *world) { w.unreadable["one-tls"] = true }, hour, none, "one-tls is unreadable", false},
		"built in, its Secret is contested":   {v1alpha1.CertificatesSpec{Provider: builtIn}, func(w *world) { w.writer.contested["Secret one-tls"] = true }, hour, none, "Secret one-tls is contested", false},
	} {
		for _, order := range [][]string{{"one", "two"}, {"two", "one"}} {
			t.Run(name+", "+strings.Join(order, " before "), func(t *testing.T) {
				w := newWorld(t)
				w.config.Spec = tc.spec
				pair, authority := theirs(t, "one", start.Add(-tc.serving), year)
				w.store("one-tls", manager, pair, authority)
				w.store("one-issued", "", pair, authority)
				w.issued("two")
				tc.fault(w)
				r, results := w.round(), map[string]Result{}
				for _, component := range order {
					results[component] = r.For(t.Context(), request(component))
				}
				w.judge(results["one"], tc.one, tc.says)
				if results["one"].Overdue != tc.overdue || results["one"].Waiting {
					t.Errorf("overdue %v, want %v; waiting %v", results["one"].Overdue, tc.overdue, results["one"].Waiting)
				}
				want := manager
				if tc.spec.Provider == builtIn {
					want = builtIn
				}
				w.judge(results["two"], want, "")
			})
		}
	}
}

// TestSharedFault: an error of the shared authority is one of each component that needs it, is met once, and takes nothing that
// works: a component without a certificate gets none that could not be stored, or that a foreign issuer signed.
func TestSharedFault(t *testing.T) {
	onlyManager := v1alpha1.CertificatesSpec{Provider: manager}
	ours := v1alpha1.CertificatesSpec{Provider: builtIn}
	for name, tc := range map[string]struct {
		spec          v1alpha1.CertificatesSpec
		fault         func(*world)
		served, fresh v1alpha1.CertificateProvider // who issues for one that serves, and for one that does not yet
		says          string
	}{
		"our authority is refused":    {ours, func(w *world) { w.writer.refused["Secret metricspipeline-ca"] = true }, manager, none, "Secret metricspipeline-ca is refused"},
		"our authority is contested":  {ours, func(w *world) { w.writer.contested["Secret metricspipeline-ca"] = true }, manager, none, "Secret metricspipeline-ca is contested"},
		"our authority is unreadable": {ours, func(w *world) { w.unreadable["metricspipeline-ca"] = true }, manager, none, "metricspipeline-ca is unreadable"},
		"the issuer is refused":       {onlyManager, func(w *world) { w.writer.refused["Issuer metricspipeline-ca"] = true }, manager, none, "Issuer metricspipeline-ca is refused"},
		"it is refused, by default":   {v1alpha1.CertificatesSpec{}, func(w *world) { w.writer.refused["Issuer metricspipeline-ca"] = true }, manager, builtIn, "Issuer metricspipeline-ca is refused"},
		"both are refused": {v1alpha1.CertificatesSpec{}, func(w *world) {
			w.writer.refused["Issuer metricspipeline-ca"], w.writer.refused["Secret metricspipeline-ca"] = true, true
		}, manager, none, "Secret metricspipeline-ca is refused"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.config.Spec = tc.spec
			pair, authority := theirs(t, "served", start.Add(-time.Hour), 365*24*time.Hour)
			w.store("served-tls", manager, pair, authority)
			tc.fault(w)
			r := w.round()
			w.judge(r.For(t.Context(), request("fresh")), tc.fresh, tc.says)
			applied := slices.Clone(w.writer.applied)
			served := r.For(t.Context(), request("served"))
			w.judge(served, tc.served, strings.Fields(tc.says)[len(strings.Fields(tc.says))-1])
			if served.Certificate != nil && (served.Certificate.ReadFrom == nil || !gocmp.Equal(served.Certificate.Pair, pair)) {
				t.Error("it serves with another one")
			}
			if diff := gocmp.Diff(applied, w.writer.applied); diff != "" {
				t.Errorf("tried again in one round (-before +after):\n%s", diff)
			}
		})
	}
}

// TestAuthorityOfNoUse is not passed on by way of a writer that has just begun to leave a contested object as it is.
func TestAuthorityOfNoUse(t *testing.T) {
	w := newWorld(t)
	w.config.Spec.Provider = builtIn
	rival := &lateRival{writer: w.writer}
	w.config.Writer = rival
	r := w.round()
	w.judge(r.For(t.Context(), request("backend")), none, "Secret metricspipeline-ca is contested")
	if len(r.Authorities()) > 0 {
		t.Errorf("issued, and not stored: %+v", r.Authorities())
	}
}

// TestNothingIsIssuedForContested: each round would make one more key, and the Secret may have a rival's.
func TestNothingIsIssuedForContested(t *testing.T) {
	w := newWorld(t)
	pair, authority := theirs(t, "backend", start.Add(-time.Hour), 72*time.Hour)
	w.store("backend-tls", manager, pair, authority)
	w.writer.contested["Secret backend-tls"] = true
	w.judge(w.round().For(t.Context(), request("backend")), none, "Secret backend-tls is contested")
	if len(w.writer.applied) > 0 {
		t.Errorf("applied %v", w.writer.applied)
	}
	secret := &corev1.Secret{}
	if err := w.client.Get(t.Context(), client.ObjectKey{Namespace: "metrics", Name: "backend-tls"}, secret); err != nil || len(secret.OwnerReferences) > 0 {
		t.Errorf("owners %v, %v", secret.OwnerReferences, err)
	}
}

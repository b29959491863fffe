// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package role

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

const leaseName = "metricspipeline-operator"

// electing has the operator take part in leader election as cmd/manager does, and renew its lease more often.
func electing(_ *world, o *ctrl.Options) {
	o.LeaderElection, o.LeaderElectionID, o.LeaderElectionNamespace = true, leaseName, harness.OperatorNamespace
	o.LeaderElectionReleaseOnCancel = true
	o.LeaseDuration, o.RenewDeadline, o.RetryPeriod = ptr.To(3*time.Second), ptr.To(2*time.Second), ptr.To(200*time.Millisecond)
}

// lead: the operator takes the lease, keeps it, and an Event says who has it.
func lead(w *world) error {
	lease, key := &coordinationv1.Lease{}, harness.InOperatorNamespace(leaseName)
	err := w.until("the operator has the lease", func() error {
		if err := w.Client.Get(w.Ctx, key, lease); err != nil {
			return err
		}
		select {
		case <-w.Operator.Elected:
			return nil
		default:
			return errors.New("no operator leads")
		}
	})
	if err != nil {
		return err
	}
	first := lease.Spec.RenewTime
	err = w.until("the lease is renewed", func() error {
		if err := w.Client.Get(w.Ctx, key, lease); err != nil {
			return err
		}
		if !first.Before(lease.Spec.RenewTime) {
			return fmt.Errorf("renewed at %s", lease.Spec.RenewTime)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.until("an Event says who leads", func() error {
		found := &corev1.EventList{}
		if err := w.Client.List(w.Ctx, found, client.InNamespace(harness.OperatorNamespace)); err != nil {
			return err
		}
		for _, event := range found.Items {
			if event.InvolvedObject.Kind == "Lease" && event.Reason == "LeaderElection" &&
				event.Source.Component == ptr.Deref(lease.Spec.HolderIdentity, "") {
				return nil
			}
		}
		return fmt.Errorf("no Event of %s", ptr.Deref(lease.Spec.HolderIdentity, "the leader"))
	})
}

// measured has the operator serve its metrics as cmd/manager does.
func measured(w *world, o *ctrl.Options) {
	o.Metrics = metricsserver.Options{BindAddress: w.address, SecureServing: true,
		FilterProvider: filters.WithAuthenticationAndAuthorization}
}

// metrics: the endpoint answers those alone who may scrape.
func metrics(w *world) error {
	stranger, err := w.Token(w.Ctx, "stranger", false)
	if err != nil {
		return err
	}
	scraper, err := w.Token(w.Ctx, "scraper", true)
	if err != nil {
		return err
	}
	for _, caller := range []struct {
		name, token string
		want        int
	}{
		{"one who may scrape", scraper, http.StatusOK},
		{"one who may not", stranger, http.StatusForbidden},
		{"one without a token", "", http.StatusUnauthorized},
	} {
		err := w.until("the answer to "+caller.name, func() error {
			code, _, err := harness.GetMetrics(w.Ctx, w.address, caller.token)
			if err == nil && code != caller.want {
				err = fmt.Errorf("status %d, want %d", code, caller.want)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

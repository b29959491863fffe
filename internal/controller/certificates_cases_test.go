// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

func certificateCases() map[string]conditionCase {
	const condition = v1alpha1.ConditionCertificatesReady
	is := func(wanted string, ready string, kstatus status.Status, says string, change func(*certificatesObservation)) conditionCase {
		tc := conditionCase{change: func(o *observation) { change(&o.certificates) }, ready: ready, kstatus: kstatus, says: says}
		if wanted != whenWorking[condition] {
			tc.differ = map[string]string{condition: wanted}
		}
		return tc
	}
	return map[string]conditionCase{
		"the certificates were not looked at": is("Unknown Progressing", "Progressing", status.InProgressStatus, "",
			func(c *certificatesObservation) { c.looked = false }),
		"cert-manager is asked for and absent": is("False CertManagerMissing", "CertManagerMissing", status.FailedStatus,
			"install cert-manager, or set spec.certificates.provider to BuiltIn",
			func(c *certificatesObservation) { c.certManagerMissing, c.waiting = true, true }),
		"an issuer without an authority": is("False IssuerWithoutCA", "IssuerWithoutCA", status.FailedStatus, "ca.crt",
			func(c *certificatesObservation) { c.withoutCA, c.waiting = true, true }),
		"cert-manager has not issued": is("False Issuing", "Issuing", status.InProgressStatus,
			`Certificate ns/metrics-server: issuer "x" not found.`,
			func(c *certificatesObservation) {
				c.waiting = true
				c.lacks(`Certificate ns/metrics-server: issuer "x" not found`)
			}),
		"cert-manager does not renew": is("False RenewalOverdue", "RenewalOverdue", status.FailedStatus, "metrics-server-tls",
			func(c *certificatesObservation) { c.waiting, c.overdue = true, []string{"metrics-server-tls"} }),
		"our own authority stands in": is("True Issued", "Ready", status.CurrentStatus, "",
			func(c *certificatesObservation) { c.lacks("Certificate ns/metrics-server: not seen yet.") }),
		"an earlier authority is still trusted": is("True Rotating", "Ready", status.CurrentStatus, "",
			func(c *certificatesObservation) { c.rotating = []string{"metrics-server"} }),
	}
}

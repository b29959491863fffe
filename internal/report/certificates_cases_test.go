// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

func certificateCases() map[string]conditionCase {
	const condition = v1alpha1.ConditionCertificatesReady
	is := func(wanted string, ready string, kstatus status.Status, says string, change func(*Certificate)) conditionCase {
		tc := conditionCase{change: func(o *Observation) { change(&outcomeOf(o, usageServer).Certificate) },
			ready: ready, kstatus: kstatus, says: says}
		if wanted != whenWorking[condition] {
			tc.differ = map[string]string{condition: wanted}
		}
		return tc
	}
	return map[string]conditionCase{
		"a certificate was not looked at": is("Unknown Progressing", "Progressing", status.InProgressStatus, "have not been looked at",
			func(c *Certificate) { c.Known = false }),
		"cert-manager is demanded and absent": is("False CertManagerMissing", "CertManagerMissing", status.FailedStatus,
			"install cert-manager, or set spec.certificates.provider to BuiltIn",
			func(c *Certificate) { c.ManagerMissing, c.Waiting = true, true }),
		"an issuer without an authority": is("False IssuerWithoutCA", "IssuerWithoutCA", status.FailedStatus, "ca.crt",
			func(c *Certificate) { c.WithoutCA, c.Waiting = true, true }),
		"cert-manager has not issued": is("False Issuing", "Issuing", status.InProgressStatus,
			`Certificate ns/usage-server: issuer "x" not found.`,
			func(c *Certificate) { c.Waiting, c.Lacking = true, `Certificate ns/usage-server: issuer "x" not found` }),
		"cert-manager does not renew": is("False RenewalOverdue", "RenewalOverdue", status.FailedStatus, "usage-server-tls",
			func(c *Certificate) { c.Waiting, c.Overdue = true, true }),
		"our own authority stands in": is("True Issued", "Ready", status.CurrentStatus, "",
			func(c *Certificate) { c.Lacking = "Certificate ns/usage-server: not seen yet." }),
		"an earlier authority is still trusted": is("True Rotating", "Ready", status.CurrentStatus, "",
			func(c *Certificate) { c.Rotating = true }),
		"one certificate is overdue, and another was not looked at": {
			change: func(o *Observation) {
				outcomeOf(o, usageServer).Certificate.Overdue = true
				outcomeOf(o, rulesServer).Certificate.Known = false
			},
			differ: map[string]string{condition: "False RenewalOverdue"},
			ready:  "RenewalOverdue", kstatus: status.FailedStatus, says: "The renewal of the certificate in usage-server-tls is overdue."},
		"a component needs no certificate": {
			change: func(o *Observation) {
				c := planOf(o, usageServer)
				c.Serving, c.Service = "", ""
				outcomeOf(o, usageServer).Certificate = Certificate{}
			},
			ready: "Ready", kstatus: status.CurrentStatus},
	}
}

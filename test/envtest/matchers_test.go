// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func beTrue() types.GomegaMatcher { return HaveField("Status", metav1.ConditionTrue) }

// beFalse matches a condition that is not met for a reason, and whose message contains each of the texts: what is wrong, and
// what to do.
func beFalse(reason string, texts ...string) types.GomegaMatcher {
	return beStatus(metav1.ConditionFalse, reason, texts...)
}

func beStatus(status metav1.ConditionStatus, reason string, texts ...string) types.GomegaMatcher {
	return SatisfyAll(HaveField("Status", status), HaveField("Reason", reason), haveMessage(texts...))
}

// beAPI matches what the status says of a metrics API.
func beAPI(available metav1.ConditionStatus, reason string, texts ...string) types.GomegaMatcher {
	return SatisfyAll(HaveField("Available", available), HaveField("Reason", reason), haveMessage(texts...))
}

func haveMessage(texts ...string) types.GomegaMatcher {
	matchers := []types.GomegaMatcher{}
	for _, text := range texts {
		matchers = append(matchers, ContainSubstring(text))
	}
	return HaveField("Message", SatisfyAll(matchers...))
}

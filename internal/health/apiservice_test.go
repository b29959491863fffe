// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"testing"

	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

func TestAvailability(t *testing.T) {
	apiService := &apiregv1.APIService{}
	if condition, looked := Availability(apiService); looked {
		t.Errorf("%+v before kube-aggregator looked", condition)
	}
	apiService.Status.Conditions = []apiregv1.APIServiceCondition{
		{Type: "Other", Status: apiregv1.ConditionTrue},
		{Type: apiregv1.Available, Status: apiregv1.ConditionFalse, Reason: "MissingEndpoints"}}
	if condition, looked := Availability(apiService); !looked || condition.Reason != "MissingEndpoints" {
		t.Errorf("%+v, %v", condition, looked)
	}
}

// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
)

const (
	// UserRangeAnnotation is on each namespace of OpenShift, with the users that its pods may run as.
	UserRangeAnnotation = "openshift.io/sa.scc.uid-range"
	// constraintsCRD defines the policies by which OpenShift chooses the user of a pod.
	constraintsCRD = "securitycontextconstraints.security.openshift.io"
)

// assignsUsers is true on OpenShift. Its policies (restricted-v2, which every namespace has) give each pod a user and a group of the
// namespace's own range, and refuse pods that name others. The images of the components run as whatever user they are given.
func (s *Source) assignsUsers(ctx context.Context, served Served) (bool, error) {
	if served.defines(constraintsCRD) {
		return true, nil
	}
	namespace, err := s.namespace(ctx)
	return namespace.GetAnnotations()[UserRangeAnnotation] != "", err
}

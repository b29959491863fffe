// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/diagnose/collect"
)

// scaler reads the HPA that is to be explained. Where KEDA has made none of a ScaledObject, it returns that instead.
func (e *environment) scaler(
	ctx context.Context, reader reader, of subject,
) (*autoscalingv2.HorizontalPodAutoscaler, *diagnose.ScaledObject, error) {
	if !of.scaledObject {
		hpa, err := e.autoscaler(ctx, reader, of.name)
		return hpa, nil, err
	}
	namespace, err := e.namespace()
	if err != nil {
		return nil, nil, err
	}
	object, err := collect.ScaledObject(ctx, reader, client.ObjectKey{Namespace: namespace, Name: of.name})
	switch {
	case meta.IsNoMatchError(err):
		return nil, nil, fmt.Errorf("this API server does not serve scaledobjects.keda.sh, so KEDA is not installed: "+
			"name an HPA by hpa/NAME, or another cluster by --context: %w", err)
	case apierrors.IsNotFound(err):
		return nil, nil, fmt.Errorf("there is no ScaledObject %s in the namespace %s: name another one, or its namespace by -n",
			of.name, namespace)
	case err != nil:
		return nil, nil, fmt.Errorf("read ScaledObject %s/%s: %w", namespace, of.name, err)
	}
	if object.HPA == "" {
		return nil, object, nil
	}
	hpa := &autoscalingv2.HorizontalPodAutoscaler{}
	err = reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: object.HPA}, hpa)
	switch {
	case apierrors.IsNotFound(err):
		return nil, object, nil
	case err != nil:
		return nil, nil, fmt.Errorf("read HorizontalPodAutoscaler %s/%s: %w", namespace, object.HPA, err)
	case collect.ScaledObjectOf(hpa) != of.name: // The name is left in the status when KEDA has deleted the HPA.
		return nil, object, nil
	}
	return hpa, object, nil
}

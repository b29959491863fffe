// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	corev1 "k8s.io/api/core/v1"
)

// AppOf is what the grammar reads of a Service.
func AppOf(service *corev1.Service) App {
	app := App{Namespace: service.Namespace, Name: service.Name, Annotations: service.Annotations,
		External: service.Spec.Type == corev1.ServiceTypeExternalName}
	for _, port := range service.Spec.Ports {
		app.Ports = append(app.Ports, PortOf(port))
	}
	return app
}

// PortOf is what the grammar reads of a port of a Service.
func PortOf(port corev1.ServicePort) Port {
	return Port{Name: port.Name, Number: port.Port, Target: port.TargetPort.IntVal, TargetName: port.TargetPort.StrVal,
		NotTCP: port.Protocol != "" && port.Protocol != corev1.ProtocolTCP}
}

// ContainerPorts returns the names of ports of which a Pod behind a Service has to have one, or it is no target; none where it is one
// whatever its containers declare.
func ContainerPorts(app App, prefix string) []string {
	request, rejection := Parse(prefix, app.Annotations)
	if rejection != nil {
		return nil
	}
	var names []string
	for _, requested := range request.Ports {
		name := portNameOf(requested, app.Ports)
		if name == "" {
			return nil
		}
		names = append(names, name)
	}
	if len(request.Ports) > 0 {
		return names
	}
	for _, port := range app.Ports {
		switch {
		case port.NotTCP:
		case port.TargetName == "":
			return nil
		default:
			names = append(names, port.TargetName)
		}
	}
	return names
}

// portNameOf is the name of the port that a container has to have for one that is requested; empty where the request has its number.
func portNameOf(requested RequestedPort, ports []Port) string {
	for _, port := range ports {
		if requested.Number != 0 && port.Target == requested.Number {
			return ""
		}
	}
	for _, port := range ports {
		if requested.Number != 0 && port.Number == requested.Number || requested.Name != "" && port.Name == requested.Name {
			return port.TargetName
		}
	}
	return requested.Name
}

// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/metricspipeline/operator/internal/scrape"
)

// mostPodsRead is of how many Pods of a namespace the containers are read in one look.
const mostPodsRead = 3

// wanted is an app, and the names of ports of which a container has to have one for it to be scraped: none where it is scraped whatever
// containers declare. any is true of a Pod of which every declared port is meant.
type wanted struct {
	app   string
	ports []string
	any   bool
}

// wantedOf returns the apps as which a Pod is scraped.
func (c *selected) wantedOf(pod *metav1.PartialObjectMetadata) []wanted {
	if c.prefix != "" && scrape.Wanted(c.prefix, pod.Annotations) {
		request, rejection := scrape.ParsePod(c.prefix, pod.Annotations)
		if rejection != nil {
			return nil
		}
		own := wanted{app: "Pod " + pod.Name, any: len(request.Ports) == 0}
		for _, port := range request.Ports {
			if port.Number != 0 {
				return []wanted{{app: own.app}}
			}
			own.ports = append(own.ports, port.Name)
		}
		return []wanted{own}
	}
	var all []wanted
	for _, of := range c.services {
		if of.selector.Matches(labels.Set(pod.Labels)) {
			all = append(all, of.wanted...)
		}
	}
	slices.SortFunc(all, func(a, b wanted) int { return strings.Compare(a.app, b.app) })
	return all
}

// portless looks whether Pods that run can be scraped at all. It has a message while none of those that it has read has a port that its
// app names.
type portless struct {
	message string
	read    int
}

// look takes a Pod into account, and is true for one that can be scraped. One that cannot is named by the message.
func (p *portless) look(
	ctx context.Context, from pieces, namespace string, pod *metav1.PartialObjectMetadata, apps []wanted,
) (bool, error) {
	for _, app := range apps {
		if len(app.ports) == 0 && !app.any {
			return true, nil
		}
	}
	if len(apps) == 0 || p.read == mostPodsRead {
		return false, nil
	}
	p.read++
	declared, err := from.PortNames(ctx, namespace, pod.Name)
	if err != nil {
		return false, fmt.Errorf("read the containers of Pod %s/%s: %w", namespace, pod.Name, err)
	}
	for _, app := range apps {
		named := slices.ContainsFunc(app.ports, func(name string) bool { return slices.Contains(declared, name) })
		if named || app.any && len(declared) > 0 {
			return true, nil
		}
		switch {
		case p.message != "":
		case app.any:
			p.message = fmt.Sprintf("%s is annotated without a port, and its containers declare no TCP port; annotate the port's number",
				app.app)
		default:
			p.message = fmt.Sprintf("%s is scraped at the port %s of its Pods, and no container of Pod %s has a TCP port of that name; "+
				"correct the name in one of the two", app.app, quoted(app.ports), pod.Name)
		}
	}
	return false, nil
}

func quoted(names []string) string {
	var all []string
	for _, name := range names {
		all = append(all, strconv.Quote(name))
	}
	return strings.Join(all, " or ")
}

// PortNames implements pieces.
func (s apiServer) PortNames(ctx context.Context, namespace, name string) ([]string, error) {
	pod, err := s.services.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, container := range slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers) {
		for _, port := range container.Ports {
			if port.Protocol == "" || port.Protocol == corev1.ProtocolTCP {
				names = append(names, port.Name)
			}
		}
	}
	return names, nil
}

// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/e2e/kit"
)

const (
	// lastService is the name of the Service that the floor answers.
	lastService = "last"
	// floorName is the name and the field manager of its answers.
	floorName = "floor"
	// floorReady is what it says once it watches.
	floorReady = "watching"
)

// floorProcess is a bare watcher in a process of its own, as the operator is one: it keeps no state, knows one name, and
// answers it with an object that it was given. Nobody who watches Services through the API server can be faster.
type floorProcess struct {
	command *exec.Cmd
	stdin   io.Closer
	ended   func() error
}

// startFloor starts it with the object to answer with, with the share of the processors that the operator's pod has, and
// returns when it watches.
func startFloor(ctx context.Context, answer *unstructured.Unstructured, operator *corev1.Pod) (*floorProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, self, "-floor")
	command.Stderr = os.Stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start the bare watcher: %w", err)
	}
	floor := &floorProcess{command, stdin, func() error { return nil }}
	removeGroup, err := sameWeight(command.Process.Pid, operator)
	if err == nil {
		floor.ended = removeGroup
		err = json.NewEncoder(stdin).Encode(answer.Object)
	}
	if err == nil {
		var said string
		if said, err = bufio.NewReader(stdout).ReadString('\n'); strings.TrimSpace(said) != floorReady {
			err = errors.Join(err, fmt.Errorf("it says %q instead of %q", said, floorReady))
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the bare watcher: %w", err), floor.stop())
	}
	return floor, nil
}

// stop ends it: the end of its standard input is its sign.
func (f *floorProcess) stop() error {
	if err := f.stdin.Close(); err != nil {
		return err
	}
	return errors.Join(f.command.Wait(), f.ended())
}

// beFloor is the process itself. It ends with its standard input.
func beFloor(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answer, decoder := &unstructured.Unstructured{}, json.NewDecoder(in)
	if err := decoder.Decode(&answer.Object); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	cluster, err := kit.Connect()
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	informer := metadatainformer.NewFilteredMetadataInformer(meta, corev1.SchemeGroupVersion.WithResource("services"),
		metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer()
	failed := make(chan error, 1)
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(object any) {
		service, ok := object.(*metav1.PartialObjectMetadata)
		if !ok || service.Name != lastService {
			return
		}
		own := answer.DeepCopy()
		own.SetNamespace(service.Namespace)
		err := cluster.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(own), client.FieldOwner(floorName))
		if err != nil {
			failed <- err
		}
	}})
	if err != nil {
		return err
	}
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		return context.Cause(ctx)
	}
	fmt.Fprintln(out, floorReady)
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

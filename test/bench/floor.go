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

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/metricspipeline/operator/test/e2e/kit"
)

// floorReady is what a floor says once it watches.
const floorReady = "watching"

// floorProcess is the least program that does what is measured, in a process of its own, as the operator is one, and as the
// operator's service account: what the API server does to find out whether a client may write a role depends on who it is. No
// client of the API server that sends one request after the other can be faster.
type floorProcess struct {
	command    *exec.Cmd
	stdin      io.Closer
	kubeconfig string
	ended      func() error
}

// startFloor starts a row's floor with its work, with the share of the processors that the operator's pod has, and returns
// when it watches.
func startFloor(ctx context.Context, cluster *kit.Cluster, row string, work any, operator *corev1.Pod) (*floorProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	kubeconfig, err := kubeconfigOf(ctx, cluster, operator)
	if err != nil {
		return nil, fmt.Errorf("be the operator's service account: %w", err)
	}
	command := exec.CommandContext(ctx, self, "-row", row, "-floor")
	command.Env = append(os.Environ(), clientcmd.RecommendedConfigPathEnvVar+"="+kubeconfig)
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
		return nil, errors.Join(fmt.Errorf("start the floor of %s: %w", row, err), os.Remove(kubeconfig))
	}
	floor := &floorProcess{command, stdin, kubeconfig, func() error { return nil }}
	removeGroup, err := sameWeight(command.Process.Pid, operator)
	if err == nil {
		floor.ended = removeGroup
		err = json.NewEncoder(stdin).Encode(work)
	}
	if err == nil {
		var said string
		if said, err = bufio.NewReader(stdout).ReadString('\n'); strings.TrimSpace(said) != floorReady {
			err = errors.Join(err, fmt.Errorf("it says %q instead of %q", said, floorReady))
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the floor of %s: %w", row, err), floor.stop())
	}
	return floor, nil
}

// stop ends it: the end of its standard input is its sign.
func (f *floorProcess) stop() error {
	if err := f.stdin.Close(); err != nil {
		return err
	}
	return errors.Join(f.command.Wait(), f.ended(), os.Remove(f.kubeconfig))
}

// kubeconfigOf writes a file that is the KUBECONFIG of now, but for the user: that is a pod's service account.
func kubeconfigOf(ctx context.Context, cluster *kit.Cluster, pod *corev1.Pod) (string, error) {
	config, err := clientcmd.LoadFromFile(os.Getenv(clientcmd.RecommendedConfigPathEnvVar))
	if err != nil {
		return "", err
	}
	token, err := cluster.Kube.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(ctx, pod.Spec.ServiceAccountName,
		&authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	config.AuthInfos[config.Contexts[config.CurrentContext].AuthInfo] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	file, err := os.CreateTemp("", "floor-*.yaml")
	if err != nil {
		return "", err
	}
	return file.Name(), errors.Join(file.Close(), clientcmd.WriteToFile(*config, file.Name()))
}

// beFloor is the process itself: it reads its work, begins to watch, says so, and ends with its standard input or with the
// first error that watch reports.
func beFloor(
	ctx context.Context, in io.Reader, out io.Writer, work any,
	watch func(ctx context.Context, cluster *kit.Cluster, failed chan<- error) error,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := json.NewDecoder(in).Decode(work); err != nil {
		return fmt.Errorf("read the work: %w", err)
	}
	cluster, err := kit.Connect()
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	if err := watch(ctx, cluster, failed); err != nil {
		return err
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

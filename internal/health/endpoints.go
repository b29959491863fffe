// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
)

// ReadyEndpoints returns the addresses, as host:port, of the ready endpoints of the named port, sorted.
func ReadyEndpoints(endpointSlices []discoveryv1.EndpointSlice, portName string) []string {
	var addresses []string
	for _, slice := range endpointSlices {
		for _, port := range slice.Ports {
			if ptr.Deref(port.Name, "") != portName || port.Port == nil {
				continue
			}
			for _, endpoint := range slice.Endpoints {
				// Unset means ready.
				if len(endpoint.Addresses) > 0 && ptr.Deref(endpoint.Conditions.Ready, true) {
					addresses = append(addresses, net.JoinHostPort(endpoint.Addresses[0], strconv.Itoa(int(*port.Port))))
				}
			}
		}
	}
	slices.Sort(addresses)
	return slices.Compact(addresses)
}

// VerifyTLS connects to an address and verifies the certificate that it presents, as the API server would: for the name
// of the Service and by the caBundle, which is PEM.
func VerifyTLS(ctx context.Context, address, serverName string, caBundle []byte) error {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(caBundle) {
		return errors.New("the caBundle has no certificate")
	}
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: serverName, MinVersion: tls.VersionTLS12}}
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("endpoint %s: %w", address, withoutSource(err))
	}
	return connection.Close()
}

// withoutSource drops our own address from a network error: its port changes with every try, and the message goes into
// a status.
func withoutSource(err error) error {
	var network *net.OpError
	if errors.As(err, &network) {
		return fmt.Errorf("%s: %w", network.Op, network.Err)
	}
	return err
}

package cluster

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/metricspipeline/operator/test/cluster/internal/machine"
	"github.com/metricspipeline/operator/test/cluster/internal/pki"
)

// peer is a server that believes some clients what they say about users.
type peer struct {
	name, address string
}

var apiServerPeer = peer{"the API server", net.JoinHostPort(nodeIP, apiServerPort)}

// allBelieve fails as long as the API server or an endpoint of an aggregated server believes the client and should not, or
// the other way round.
func (s *starter) allBelieve(ctx context.Context, client pki.Pair, want bool) error {
	aggregated, err := s.aggregatedPeers(ctx)
	if err != nil {
		return err
	}
	for _, p := range append(aggregated, apiServerPeer) {
		if err := s.believe(ctx, p, client, want); err != nil {
			return err
		}
	}
	return nil
}

// believe fails when a server believes the client and should not, or the other way round.
func (s *starter) believe(ctx context.Context, p peer, client pki.Pair, want bool) error {
	believed, err := s.believes(ctx, p.address, client)
	if err != nil {
		return fmt.Errorf("query %s: %w", p.name, err)
	}
	if believed != want {
		return fmt.Errorf("%s believes the client: %t, want %t", p.name, believed, want)
	}
	return nil
}

// aggregatedPeers are the ready endpoints of the Services that APIServices lead to.
func (s *starter) aggregatedPeers(ctx context.Context) ([]peer, error) {
	var apiServices struct {
		Items []struct {
			Spec struct {
				Service *struct{ Namespace, Name string }
			}
		}
	}
	if err := s.getJSON(ctx, &apiServices, "apiservices"); err != nil {
		return nil, err
	}
	var peers []peer
	for _, api := range apiServices.Items {
		service := api.Spec.Service
		if service == nil {
			continue
		}
		var slices struct {
			Items []struct {
				Ports     []struct{ Port int }
				Endpoints []struct {
					Addresses  []string
					Conditions struct{ Ready bool }
				}
			}
		}
		err := s.getJSON(ctx, &slices, "endpointslices", "--namespace", service.Namespace,
			"--selector", "kubernetes.io/service-name="+service.Name)
		if err != nil {
			return nil, err
		}
		for _, slice := range slices.Items {
			for _, endpoint := range slice.Endpoints {
				if endpoint.Conditions.Ready && len(slice.Ports) > 0 {
					address := net.JoinHostPort(endpoint.Addresses[0], strconv.Itoa(slice.Ports[0].Port))
					peers = append(peers, peer{service.Name + " at " + address, address})
				}
			}
		}
	}
	return peers, nil
}

// getJSON reads what kubectl gets.
func (s *starter) getJSON(ctx context.Context, into any, args ...string) error {
	out, err := s.kubectl(ctx, "", append([]string{"get", "--output", "json"}, args...)...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), into)
}

// believes is true when a server takes the client for one that may speak for users.
func (s *starter) believes(ctx context.Context, address string, client pki.Pair) (bool, error) {
	pair, err := tls.X509KeyPair(client.Certificate, client.Key)
	if err != nil {
		return false, err
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return machine.DialInNetNS(ctx, s.netNS(), network, address)
		},
		TLSClientConfig: &tls.Config{
			Certificates: []tls.Certificate{pair},
			// Whom the server trusts is the question, not whether to trust it.
			InsecureSkipVerify: true, //nolint:gosec // no secret is sent to it
		},
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/apis", nil)
	if err != nil {
		return false, err
	}
	request.Header.Set("X-Remote-User", "admin")
	request.Header.Set("X-Remote-Group", "system:masters")
	response, err := (&http.Client{Transport: transport, Timeout: 5 * time.Second}).Do(request)
	if err != nil {
		return false, err
	}
	return response.StatusCode != http.StatusUnauthorized, response.Body.Close()
}

package cluster

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/metricspipeline/operator/test/cluster/internal/images"
	"github.com/metricspipeline/operator/test/cluster/internal/machine"
)

const (
	registryName = "registry"
	// registryAddress is on the node's loopback, where containerd speaks plain HTTP without being told to.
	registryAddress = "127.0.0.1:5000"
)

// Registry serves images from memory. It returns only on failure.
func Registry() error {
	server := &http.Server{Addr: registryAddress, Handler: registry.New(), ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}

// Push packs an image and pushes it to a registry on the node's loopback, which the first push starts. It returns the reference by
// which pods get exactly this image: with its digest.
func (c *Cluster) Push(ctx context.Context, image images.Image) (string, error) {
	s, err := c.running("push")
	if err != nil {
		return "", err
	}
	tag, err := name.NewTag(registryAddress + "/" + image.Name)
	if err != nil {
		return "", err
	}
	packed, err := image.Pack()
	if err != nil {
		return "", err
	}
	digest, err := packed.Digest()
	if err != nil {
		return "", err
	}
	if err := s.startRegistry(ctx); err != nil {
		return "", err
	}
	transport := &http.Transport{DialContext: s.dialNode, DisableKeepAlives: true}
	if err := remote.Write(tag, packed, remote.WithContext(ctx), remote.WithTransport(transport)); err != nil {
		return "", fmt.Errorf("pushing image %s: %w", tag, err)
	}
	return tag.Context().Digest(digest.String()).String(), nil
}

// ResolveBinaries replaces the names of binaries of the cluster's components, which it builds if need be, by their files. What has a
// slash is a file.
func (c *Cluster) ResolveBinaries(ctx context.Context, executables map[string]string) error {
	for at, source := range executables {
		if strings.Contains(source, "/") {
			continue
		}
		files, err := c.builder.Binaries(ctx, source)
		if err != nil {
			return err
		}
		executables[at] = files[source]
	}
	return nil
}

// startRegistry starts it unless it runs.
func (s *starter) startRegistry(ctx context.Context) error {
	if _, err := s.state.process(registryName); err == nil {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := s.startSpec(machine.Spec{Name: registryName, Path: self, Args: []string{registryName}}); err != nil {
		return err
	}
	return s.wait(ctx, "the registry", func(ctx context.Context) error {
		connection, err := s.dialNode(ctx, "tcp", registryAddress)
		if err == nil {
			err = connection.Close()
		}
		return err
	})
}

// dialNode connects to an address of the node's network.
func (s *starter) dialNode(ctx context.Context, network, address string) (net.Conn, error) {
	return machine.DialInNetNS(ctx, s.netNS(), network, address)
}

package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// Namespace is where containerd has the images and containers of a kubelet.
const Namespace = "k8s.io"

// Store is a containerd that images are put into.
type Store struct {
	// Socket is the path of containerd's socket.
	Socket string
}

// LoadImage packs the image and imports it, without a file in between.
func (s Store) LoadImage(ctx context.Context, image Image) error {
	reader, writer := io.Pipe()
	packing := make(chan error, 1)
	go func() {
		err := image.Write(writer)
		packing <- errors.Join(err, writer.CloseWithError(err))
	}()
	_, err := s.load(ctx, reader)
	// Ends the packing when containerd did not take it all; then the import's failure is the reason, else the packing's.
	_ = reader.Close()
	if packed := <-packing; packed != nil && !errors.Is(packed, io.ErrClosedPipe) {
		err = packed
	}
	if err != nil {
		return fmt.Errorf("loading image %s: %w", image.Name, err)
	}
	return nil
}

// LoadArchive imports all images of a docker or OCI archive and returns what containerd says about them.
func (s Store) LoadArchive(ctx context.Context, path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	out, err := s.load(ctx, file)
	if err != nil {
		return "", fmt.Errorf("loading image archive %s: %w", path, err)
	}
	return out, nil
}

// load imports an archive into the namespace that Kubernetes looks in.
func (s Store) load(ctx context.Context, archive io.Reader) (string, error) {
	var out strings.Builder
	cmd := exec.CommandContext(ctx, "ctr", "--address", s.Socket, "--namespace", Namespace, "images", "import", "-")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = archive, &out, &out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("ctr images import: %w: %s", err, strings.TrimSpace(out.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

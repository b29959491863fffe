package images

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"
)

// layerWriter writes a layer whose bytes depend on what is in it alone: no times, no owners.
type layerWriter struct {
	*tar.Writer
	// folders that have been written.
	folders map[string]bool
}

func newLayerWriter(out io.Writer) *layerWriter {
	return &layerWriter{Writer: tar.NewWriter(out), folders: map[string]bool{}}
}

// file writes a file at an absolute path, and the folders above it.
func (w *layerWriter) file(at string, mode int64, content []byte) error {
	if !path.IsAbs(at) {
		return fmt.Errorf("path %q in the image must be absolute", at)
	}
	name := strings.TrimPrefix(path.Clean(at), "/")
	for end, letter := range name {
		if letter == '/' && !w.folders[name[:end]] {
			if err := w.folder(name[:end], 0o755); err != nil {
				return err
			}
		}
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content)), ModTime: time.Unix(0, 0)}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}

func (w *layerWriter) folder(name string, mode int64) error {
	w.folders[name] = true
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, ModTime: time.Unix(0, 0)})
}

// tree writes all files of a folder below an absolute path.
func (w *layerWriter) tree(at string, folder fs.FS) error {
	return fs.WalkDir(folder, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(folder, name)
		if err != nil {
			return err
		}
		return w.file(path.Join(at, name), 0o644, content)
	})
}

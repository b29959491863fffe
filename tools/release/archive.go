// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

// file is one of an archive or of a folder.
type file struct {
	// Name has slashes, and none in front.
	Name string
	Mode int64
	// Content is the whole of it.
	Content []byte
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// pack makes a tar archive of files, with the folders above them. It has no owner and no other time than modified.
func pack(files []file, modified time.Time) ([]byte, error) {
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	made := map[string]bool{".": true}
	for _, file := range files {
		if err := packFolder(writer, path.Dir(file.Name), modified, made); err != nil {
			return nil, err
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: file.Name, Mode: file.Mode, Size: int64(len(file.Content)), ModTime: modified}
		if err := writer.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := writer.Write(file.Content); err != nil {
			return nil, err
		}
	}
	// The archive ends with Close: what is in the buffer before is without its last blocks.
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func packFolder(writer *tar.Writer, dir string, modified time.Time, made map[string]bool) error {
	if made[dir] {
		return nil
	}
	made[dir] = true
	if err := packFolder(writer, path.Dir(dir), modified, made); err != nil {
		return err
	}
	return writer.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: modified})
}

// writeArchive writes a .tar.gz.
func writeArchive(name string, files []file, modified time.Time) error {
	content, err := pack(files, modified)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	compressor, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := compressor.Write(content); err != nil {
		return err
	}
	if err := compressor.Close(); err != nil {
		return err
	}
	return os.WriteFile(name, out.Bytes(), 0o644)
}

// readFolder reads the files below a folder, in the order of their names, with the mode that a tree of git would give them.
func readFolder(dir string) ([]file, error) {
	var files []file
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		files = append(files, file{Name: filepath.ToSlash(relative), Mode: 0o644, Content: content})
		return nil
	})
	return files, err
}

// Verifies a copy of an audit log with golang.org/x/mod/sumdb as Go ships it, which shares no code with ours:
// verify.go FOLDER KEY EARLIER-CHECKPOINT CONSISTENCY-JSON ENTRY-PROOF-JSON
package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func check(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

func hash(text string) (h tlog.Hash) {
	bytes, err := base64.StdEncoding.DecodeString(text)
	check("a hash", err)
	if copy(h[:], bytes) != 32 || len(bytes) != 32 {
		check("a hash", fmt.Errorf("%q is not 32 bytes", text))
	}
	return h
}

func hashes(texts []string) (list []tlog.Hash) {
	for _, text := range texts {
		list = append(list, hash(text))
	}
	return list
}

// open checks the signature, and reads the three lines of tlog-checkpoint.
func open(text []byte, verifier note.Verifier) tlog.Tree {
	signed, err := note.Open(text, note.VerifierList(verifier))
	check("a checkpoint's signature", err)
	lines := strings.Split(signed.Text, "\n")
	if lines[0] != verifier.Name() {
		check("a checkpoint's origin", fmt.Errorf("%q is not %q", lines[0], verifier.Name()))
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check("a checkpoint's size", err)
	return tlog.Tree{N: size, Hash: hash(lines[2])}
}

func read(path string) []byte {
	bytes, err := os.ReadFile(path)
	check("a file", err)
	return bytes
}

// tiles reads the copy. The names of sumdb have the tiles' height in them, those of tlog-tiles have not.
type tiles struct{ folder string }

func (t tiles) Height() int { return 8 }

func (t tiles) ReadTiles(wanted []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range wanted {
		name := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		data = append(data, read(filepath.Join(t.folder, name)))
	}
	return data, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func main() {
	folder := os.Args[1]
	verifier, err := note.NewVerifier(os.Args[2])
	check("the key", err)
	tree := open(read(filepath.Join(folder, "checkpoint")), verifier)
	earlier := open(read(os.Args[3]), verifier)

	var consistency struct {
		From, To int64
		Hashes   []string
	}
	check("the consistency proof", json.Unmarshal(read(os.Args[4]), &consistency))
	if consistency.From != earlier.N || consistency.To != tree.N {
		check("the consistency proof", fmt.Errorf("it is of %d and %d", consistency.From, consistency.To))
	}
	check("the consistency proof", tlog.CheckTree(hashes(consistency.Hashes), tree.N, tree.Hash, earlier.N, earlier.Hash))

	var proof struct {
		Position   int64
		Checkpoint string
		Leaf       string
		Hashes     []string
	}
	check("the entry's proof", json.Unmarshal(read(os.Args[5]), &proof))
	of := open([]byte(proof.Checkpoint), verifier)
	leaf := tlog.RecordHash([]byte(proof.Leaf))
	check("the entry's proof", tlog.CheckRecord(hashes(proof.Hashes), of.N, of.Hash, proof.Position, leaf))

	// Every entry, against tiles that the reader authenticates with the signed root.
	reader := tlog.TileHashReader(tree, tiles{folder})
	for from := int64(0); from < tree.N; from += 256 {
		width := min(256, tree.N-from)
		name := strings.Replace(tlog.Tile{H: 8, L: 0, N: from / 256, W: int(width)}.Path(), "tile/8/0/", "tile/entries/", 1)
		bundle := read(filepath.Join(folder, name))
		for position := from; position < from+width; position++ {
			length := int(binary.BigEndian.Uint16(bundle))
			entry := bundle[2 : 2+length]
			bundle = bundle[2+length:]
			kept, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, position)})
			check("a tile", err)
			if kept[0] != tlog.RecordHash(entry) {
				check("an entry", fmt.Errorf("position %d is not what was hashed: %s", position, entry))
			}
		}
		if len(bundle) != 0 {
			check("a bundle", fmt.Errorf("it has more than %d entries", width))
		}
	}
	fmt.Printf("verified %d entries of %s\n", tree.N, verifier.Name())
}

func min(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}

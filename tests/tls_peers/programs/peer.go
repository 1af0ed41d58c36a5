// One conversation over TLS, as every peer here has it:
//
//	peer client|server asks|answers PORT FOLDER
//
// Who asks sends a question, ends its half and reads the answer. Who answers reads the question to
// its end and answers a little later. Both print how many bytes they have read, and how that ended.
// FOLDER has ca.pem, certificate.pem and key.pem.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

const (
	late = 200 * time.Millisecond
	size = 200_000
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func connect(side, port, folder string) *tls.Conn {
	if side == "client" {
		authority, err := os.ReadFile(filepath.Join(folder, "ca.pem"))
		must(err)
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(authority)
		config := &tls.Config{RootCAs: pool, ServerName: "localhost"}
		conn, err := tls.Dial("tcp", "127.0.0.1:"+port, config)
		must(err)
		return conn
	}
	certificate, err := tls.LoadX509KeyPair(
		filepath.Join(folder, "certificate.pem"), filepath.Join(folder, "key.pem"))
	must(err)
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	listener, err := tls.Listen("tcp", "127.0.0.1:"+port, config)
	must(err)
	accepted, err := listener.Accept()
	must(err)
	conn := accepted.(*tls.Conn)
	must(conn.Handshake())
	return conn
}

func main() {
	side, part, port, folder := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	conn := connect(side, port, folder)
	if part == "asks" {
		_, err := conn.Write([]byte("question\n"))
		must(err)
		must(conn.CloseWrite())
	}
	count, err := io.Copy(io.Discard, conn)
	if err != nil {
		fmt.Println(count, err)
	} else {
		fmt.Println(count, "clean")
	}
	if part == "answers" {
		time.Sleep(late)
		conn.Write(bytes.Repeat([]byte("x"), size))
		conn.CloseWrite()
	}
	conn.Close()
}

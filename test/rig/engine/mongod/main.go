// Command mongod stands in for MongoDB's server in the rehearsal: FerretDB 1.24 on SQLite, behind the flags of the real
// mongod that the deployment uses. It has no TTL indexes, no transactions and no fsync, and keeps users but no roles. Its release is what
// MONGO_VERSION says, which is a variable of the real image too.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/FerretDB/FerretDB/internal/clientconn"
	"github.com/FerretDB/FerretDB/internal/clientconn/connmetrics"
	"github.com/FerretDB/FerretDB/internal/handler/registry"
	"github.com/FerretDB/FerretDB/internal/util/state"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, parseFlags(os.Args[1:])); err != nil {
		fmt.Fprintln(os.Stderr, "mongod:", err)
		os.Exit(100) // the real one's EXIT_FAILURE for a data directory or an address that it cannot have
	}
}

// run serves until ctx ends. The engine itself listens on an abstract Unix socket only: its own listener knows one
// address and keeps idle clients for three seconds after SIGTERM.
func run(ctx context.Context, o options) error {
	lock, err := lockData(o.dbPath)
	if err != nil {
		return err
	}
	defer lock.Close()
	features, err := openFeatures(o.dbPath)
	if err != nil {
		return err
	}

	level := slog.LevelInfo
	if o.quiet {
		level = slog.LevelError
	}
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: level}))
	metrics := connmetrics.NewListenerMetrics()
	provider, err := state.NewProvider("")
	if err != nil {
		return err
	}
	if err := provider.Update(func(s *state.State) { s.DisableTelemetry() }); err != nil {
		return err
	}

	// With EnableNewAuth every command but the handshake asks for a SCRAM login first.
	handler, closeData, err := registry.NewHandler("sqlite", &registry.NewHandlerOpts{
		Logger:        logger,
		ConnMetrics:   metrics.ConnMetrics,
		StateProvider: provider,
		SQLiteURL:     "file:" + o.dbPath + "/",
		TestOpts:      registry.TestOpts{BatchSize: 100, EnableNewAuth: o.auth},
	})
	if err != nil {
		return err
	}
	defer closeData()
	manageUsers(handler, o.auth)
	features.manage(handler)

	socket := fmt.Sprintf("@mongod-%d-%d", os.Getpid(), time.Now().UnixNano())
	engine, err := clientconn.Listen(&clientconn.NewListenerOpts{
		Unix: socket, Mode: clientconn.NormalMode, Metrics: metrics, Handler: handler, Logger: logger,
	})
	if err != nil {
		return err
	}
	front, err := listen(o.addresses(), socket)
	if err != nil {
		return err
	}
	go func() {
		<-ctx.Done()
		front.close()
	}()
	fmt.Printf("Waiting for connections on %v, auth %t\n", o.addresses(), o.auth)
	engine.Run(ctx)
	return nil
}

// lockData refuses a data directory that is not writable or that another mongod uses, in the real one's words.
func lockData(dbPath string) (*os.File, error) {
	path := dbPath + "/mongod.lock"
	lock, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("DBPathInUse: Unable to create/open the lock file: %w. Ensure the user executing mongod is"+
			" the owner of the lock file and has the appropriate permissions", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("DBPathInUse: Unable to lock the lock file: %s (%w). Another mongod instance is already running"+
			" on the %s directory", path, err, dbPath)
	}
	return lock, nil
}

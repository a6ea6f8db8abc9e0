package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

type options struct {
	dbPath    string
	port      int
	bindIP    string
	bindAll   bool
	ipv6      bool
	auth      bool
	quiet     bool
	cacheSize float64
}

// parseFlags knows the deployment's flags and ends the process at any other, so that a typing error shows here as it
// would with the real server.
func parseFlags(args []string) options {
	var o options
	flags := flag.NewFlagSet("mongod", flag.ExitOnError)
	flags.StringVar(&o.dbPath, "dbpath", "/data/db", "data directory")
	flags.IntVar(&o.port, "port", 27017, "TCP port")
	flags.StringVar(&o.bindIP, "bind_ip", "localhost", "comma-separated addresses to listen on")
	flags.BoolVar(&o.bindAll, "bind_ip_all", false, "listen on all addresses")
	flags.BoolVar(&o.ipv6, "ipv6", false, "listen on IPv6 addresses too")
	flags.BoolVar(&o.auth, "auth", false, "refuse clients without a login")
	flags.BoolVar(&o.quiet, "quiet", false, "log errors only")
	flags.Float64Var(&o.cacheSize, "wiredTigerCacheSizeGB", 0, "accepted, without effect")
	flags.Func("setParameter", "ttlMonitorEnabled=false only: nothing expires here", func(value string) error {
		if value != "ttlMonitorEnabled=false" {
			return fmt.Errorf("unknown parameter %q", value)
		}
		return nil
	})
	_ = flags.Parse(args) // ExitOnError
	if flags.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "mongod: too many positional options:", flags.Args())
		os.Exit(2)
	}
	if absolute, err := filepath.Abs(o.dbPath); err == nil {
		o.dbPath = absolute
	}
	return o
}

// addresses lists the host:port pairs to listen on.
func (o options) addresses() []string {
	hosts := strings.Split(o.bindIP, ",")
	if o.bindAll {
		hosts = []string{"0.0.0.0"}
		if o.ipv6 {
			hosts = []string{"::"}
		}
	}
	for i, host := range hosts {
		hosts[i] = net.JoinHostPort(strings.TrimSpace(host), strconv.Itoa(o.port))
	}
	return hosts
}

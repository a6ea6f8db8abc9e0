package main

import (
	"io"
	"net"
	"sync"
)

// front accepts clients on any number of TCP addresses and carries their bytes to the engine's socket.
type front struct {
	mutex   sync.Mutex
	open    map[io.Closer]bool
	stopped bool
}

func listen(addresses []string, socket string) (*front, error) {
	f := &front{open: map[io.Closer]bool{}}
	for _, address := range addresses {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			f.close()
			return nil, err
		}
		f.add(listener)
		go f.accept(listener, socket)
	}
	return f, nil
}

func (f *front) accept(listener net.Listener, socket string) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		go f.carry(client, socket)
	}
}

func (f *front) carry(client net.Conn, socket string) {
	defer f.remove(client)
	engine, err := net.Dial("unix", socket)
	if err != nil || !f.add(client) {
		client.Close()
		return
	}
	go func() {
		io.Copy(engine, client)
		engine.Close()
	}()
	io.Copy(client, engine)
	client.Close()
}

// add takes part in close; it says false when that has already happened.
func (f *front) add(c io.Closer) bool {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.open[c] = true
	return !f.stopped
}

func (f *front) remove(c io.Closer) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	delete(f.open, c)
}

func (f *front) close() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.stopped = true
	for c := range f.open {
		c.Close()
	}
}

// Command cri-pull asks a container runtime to pull an image the way a kubelet does: by the CRI call
// PullImage on the runtime's socket. It prints the reference that the runtime answers with.
//
//	cri-pull [-remove] SOCKET IMAGE
//
// With -remove the image is taken out of the runtime's store instead.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const timeout = 2 * time.Minute

func main() {
	remove := flag.Bool("remove", false, "remove the image instead of pulling it")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: cri-pull [-remove] SOCKET IMAGE")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Arg(1), *remove); err != nil {
		fmt.Fprintln(os.Stderr, "cri-pull:", err)
		os.Exit(1)
	}
}

func run(socket, image string, remove bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()

	connection, err := grpc.NewClient("unix://"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()

	images := runtime.NewImageServiceClient(connection)
	spec := &runtime.ImageSpec{Image: image}
	if remove {
		_, err := images.RemoveImage(ctx, &runtime.RemoveImageRequest{Image: spec})
		return err
	}
	answer, err := images.PullImage(ctx, &runtime.PullImageRequest{Image: spec})
	if err != nil {
		return err
	}
	fmt.Println(answer.GetImageRef())
	return nil
}

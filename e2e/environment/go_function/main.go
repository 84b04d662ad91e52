// A function as people write it in Go: one static program, which is all that its image has.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
)

type answer struct {
	Event     map[string]any `json:"event"`
	Name      string         `json:"name"`
	FromImage string         `json:"fromImage"`
	Mine      string         `json:"mine"`
}

func handle(_ context.Context, event map[string]any) (answer, error) {
	return answer{event, os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), os.Getenv("FROM_IMAGE"), os.Getenv("MINE")}, nil
}

func main() {
	lambda.Start(handle)
}

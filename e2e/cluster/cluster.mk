# The test cluster and its images; included by the top-level Makefile.

.PHONY: cluster-up
cluster-up: ## Bring up a real Kubernetes (kind where Docker answers), or repair it; leaves it up
	@python3 e2e/cluster up

.PHONY: cluster-down
cluster-down: ## Remove the cluster and everything it made, except the cache
	@python3 e2e/cluster down

.PHONY: cluster-status
cluster-status: ## Show what runs
	@python3 e2e/cluster status

.PHONY: kubeconfig
kubeconfig: ## Print the path of the cluster's kubeconfig
	@python3 e2e/cluster kubeconfig

.PHONY: kubernetes-binaries
kubernetes-binaries: ## Build Kubernetes and Helm into the cache folder, without a cluster
	@python3 e2e/cluster binaries

.PHONY: test-binaries
test-binaries: ## The same, and etcd from Debian unless there is one: what tests without a cluster start
	@python3 e2e/cluster binaries --etcd

.PHONY: brokers
brokers: ## RabbitMQ and ActiveMQ from Debian, unless they are there: what tests of pollers start
	@python3 e2e/cluster brokers

.PHONY: aws-cli
aws-cli: ## Version 2 of the aws cli, from Debian: a test calls with it where it is there
	@python3 e2e/cluster aws-cli || echo "without version 2 of the aws cli: its test is skipped"

.PHONY: images
images: setup ## Build the images that changed and import them into the cluster
	@python3 e2e/cluster images

.PHONY: images-all
images-all: setup ## The same with the runtimes that a cluster has only when asked: further Node.js, Java, Ruby
	@python3 e2e/cluster images --all

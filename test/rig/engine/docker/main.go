// Command pulumi-resource-docker is the real Docker provider, built from its Go modules for machines that cannot reach
// the download host of Pulumi's plugins. It declares what the official plugin declares, so that the SDK and a stack's
// state cannot tell the two apart.
package main

import (
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/tokens"
	sdkv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/terraform-providers/terraform-provider-docker/internal/provider"
)

// version is that of the @pulumi/docker SDK in package.json, which asks the engine for a plugin of the same version.
const version = "5.2.0"

// sdkName keeps a property as it is: else the bridge makes a list's name plural and gives an absent `name` a value.
func sdkName(name string) *tfbridge.SchemaInfo {
	return &tfbridge.SchemaInfo{Name: name}
}

func dockerInfo() tfbridge.ProviderInfo {
	info := tfbridge.ProviderInfo{
		P:    sdkv2.NewProvider(provider.New(version)()),
		Name: "docker",
		Config: map[string]*tfbridge.SchemaInfo{
			"host": {Default: &tfbridge.DefaultInfo{
				Value: "unix:///var/run/docker.sock", EnvVars: []string{"DOCKER_HOST"},
			}},
			"registry_auth": sdkName("registryAuth"),
		},
		Resources: map[string]*tfbridge.ResourceInfo{
			"docker_config": {Tok: "docker:index/serviceConfig:ServiceConfig"},
			"docker_image": {
				Tok:    "docker:index/remoteImage:RemoteImage",
				Fields: map[string]*tfbridge.SchemaInfo{"name": sdkName("name")},
			},
			"docker_container": {
				DeleteBeforeReplace: true,
				Fields: map[string]*tfbridge.SchemaInfo{
					"command":           sdkName("command"),
					"networks_advanced": sdkName("networksAdvanced"),
				},
			},
		},
		DataSources: map[string]*tfbridge.DataSourceInfo{
			"docker_image": {Tok: "docker:index/getRemoteImage:getRemoteImage"},
		},
	}
	info.MustComputeTokens(tokens.SingleModule("docker_", "index", tokens.MakeStandard("docker")))
	info.SetAutonaming(255, "-")
	return info
}

func main() {
	// The schema only serves code generation, which the rehearsal does not do.
	tfbridge.Main("docker", version, dockerInfo(), []byte("{}"))
}

import { expect, test } from "vitest";
import { imageParameter } from "../../components/server/awsMachine";

test.each([
    ["debian-12", "t4g.medium", "/aws/service/debian/release/12/latest/arm64"],
    ["debian-13", "t3.medium", "/aws/service/debian/release/13/latest/amd64"],
    ["ubuntu-22.04", "c7gn.large", "/aws/service/canonical/ubuntu/server/22.04/stable/current/arm64/hvm/ebs-gp2/ami-id"],
    ["ubuntu-24.04", "m7i-flex.large", "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"],
    ["debian-12", "g4dn.xlarge", "/aws/service/debian/release/12/latest/amd64"], // its g stands for graphics
    ["debian-12", "im4gn.large", "/aws/service/debian/release/12/latest/arm64"],
    ["debian-12", "a1.large", "/aws/service/debian/release/12/latest/arm64"],
] as const)("the newest %s for %s is named by %s", (image, type, parameter) => expect(imageParameter(image, type)).toBe(parameter));

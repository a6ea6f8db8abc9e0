import { standIn } from "../providers/standin";
import { eip, eipAssociation, eipDomainName } from "./addresses";
import { bucketEncryption, bucketOwnership, bucketPolicy, publicAccessBlock } from "./bucketAccess";
import { bucket, bucketLifecycle, bucketObjectLock, bucketVersioning } from "./buckets";
import { instance } from "./instance";
import { lookups } from "./lookups";
import { internetGateway, route, routeTable, routeTableAssociation, subnet, vpc } from "./network";
import type { Cloud } from "./resource";
import { record } from "./route53";
import { securityGroup, securityGroupRule } from "./security";
import { volume, volumeAttachment } from "./storage";
import { accessKey, user, userPolicy } from "./users";

/** The stand-in AWS provider of an account. */
export const awsProvider = (cloud: Cloud) =>
    standIn(
        "aws",
        {
            "aws:ec2/vpc:Vpc": vpc(cloud),
            "aws:ec2/internetGateway:InternetGateway": internetGateway(cloud),
            "aws:ec2/subnet:Subnet": subnet(cloud),
            "aws:ec2/routeTable:RouteTable": routeTable(cloud),
            "aws:ec2/route:Route": route(cloud),
            "aws:ec2/routeTableAssociation:RouteTableAssociation": routeTableAssociation(cloud),
            "aws:ec2/securityGroup:SecurityGroup": securityGroup(cloud),
            "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": securityGroupRule(cloud, "ingress"),
            "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": securityGroupRule(cloud, "egress"),
            "aws:ec2/eip:Eip": eip(cloud),
            "aws:ec2/eipAssociation:EipAssociation": eipAssociation(cloud),
            "aws:ec2/eipDomainName:EipDomainName": eipDomainName(cloud),
            "aws:ebs/volume:Volume": volume(cloud),
            "aws:ec2/volumeAttachment:VolumeAttachment": volumeAttachment(cloud),
            "aws:iam/user:User": user(cloud),
            "aws:iam/userPolicy:UserPolicy": userPolicy(cloud),
            "aws:iam/accessKey:AccessKey": accessKey(cloud),
            "aws:s3/bucket:Bucket": bucket(cloud),
            "aws:s3/bucketVersioning:BucketVersioning": bucketVersioning(cloud),
            "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration": bucketObjectLock(cloud),
            "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": bucketLifecycle(cloud),
            "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": bucketEncryption(cloud),
            "aws:s3/bucketOwnershipControls:BucketOwnershipControls": bucketOwnership(cloud),
            "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": publicAccessBlock(cloud),
            "aws:s3/bucketPolicy:BucketPolicy": bucketPolicy(cloud),
            "aws:ec2/instance:Instance": instance(cloud),
            "aws:route53/record:Record": record(cloud),
        },
        lookups(cloud),
    );

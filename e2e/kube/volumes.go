// Volumes: folders on this machine handed out as PersistentVolumes. Kubernetes' own host-path provisioner makes its
// folders in /tmp, for root alone, and cannot grow them; this one makes them where it is told, writable for the
// unprivileged users that pods ought to run as, and carries out a resize (a folder has no size, so growing one is a
// matter of writing the new figure down).
//
// A class with the parameter `scope: node` binds the volume to the node of its first pod, as a local disk is; any other
// class gives a folder that every node reaches, as a network disk is.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	provisionerName  = "e2e.kvorum.dev/folder"
	provisionedBy    = "pv.kubernetes.io/provisioned-by"
	selectedNode     = "volume.kubernetes.io/selected-node"
	hostnameLabel    = "kubernetes.io/hostname"
	passesAgainAfter = 5 * time.Second
)

type volumes struct {
	client  kubernetes.Interface
	factory informers.SharedInformerFactory
	folder  string
}

func newVolumesCommand() *cobra.Command {
	var kubeconfig, folder string
	command := &cobra.Command{
		Use: "kube-volumes", SilenceUsage: true,
		RunE: func(command *cobra.Command, _ []string) error {
			return serveVolumes(command.Context(), kubeconfig, folder)
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how to reach the API server")
	command.Flags().StringVar(&folder, "folder", "", "where the volumes' folders are made")
	return command
}

func serveVolumes(ctx context.Context, kubeconfig, folder string) error {
	if ctx == nil {
		ctx = context.Background()
	}
	syscall.Umask(0)
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	v := &volumes{client: client, factory: informers.NewSharedInformerFactory(client, 0), folder: folder}
	wake := make(chan struct{}, 1)
	notify := func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { notify() }, UpdateFunc: func(any, any) { notify() }, DeleteFunc: func(any) { notify() },
	}
	for _, informer := range []cache.SharedIndexInformer{
		v.factory.Core().V1().PersistentVolumeClaims().Informer(),
		v.factory.Core().V1().PersistentVolumes().Informer(),
		v.factory.Storage().V1().StorageClasses().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	v.factory.Start(ctx.Done())
	v.factory.WaitForCacheSync(ctx.Done())
	for {
		if err := v.pass(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			time.AfterFunc(passesAgainAfter, notify)
		}
		<-wake
	}
}

// pass brings every claim and every volume one step further. It looks at all of them each time, so that nothing depends
// on having seen a certain event.
func (v *volumes) pass(ctx context.Context) error {
	var failures []error
	claims, err := v.factory.Core().V1().PersistentVolumeClaims().Lister().List(labels.Everything())
	if err != nil {
		return err
	}
	for _, claim := range claims {
		if err := v.serveClaim(ctx, claim); err != nil {
			failures = append(failures, fmt.Errorf("claim %s/%s: %w", claim.Namespace, claim.Name, err))
		}
	}
	all, err := v.factory.Core().V1().PersistentVolumes().Lister().List(labels.Everything())
	if err != nil {
		return err
	}
	for _, volume := range all {
		if err := v.reclaim(ctx, volume); err != nil {
			failures = append(failures, fmt.Errorf("volume %s: %w", volume.Name, err))
		}
	}
	return errors.Join(failures...)
}

func (v *volumes) serveClaim(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	if claim.DeletionTimestamp != nil || claim.Spec.StorageClassName == nil {
		return nil
	}
	if claim.Spec.VolumeName != "" {
		return v.grow(ctx, claim)
	}
	class, err := v.factory.Storage().V1().StorageClasses().Lister().Get(*claim.Spec.StorageClassName)
	if apierrors.IsNotFound(err) || (err == nil && class.Provisioner != provisionerName) {
		return nil
	}
	if err != nil {
		return err
	}
	node := claim.Annotations[selectedNode]
	if class.VolumeBindingMode != nil && *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer && node == "" {
		return nil
	}
	volume := v.volume(claim, class, node)
	if _, err := v.factory.Core().V1().PersistentVolumes().Lister().Get(volume.Name); err == nil {
		return nil
	}
	if err := os.MkdirAll(v.path(volume), 0o777); err != nil {
		return err
	}
	_, err = v.client.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func (v *volumes) volume(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, node string) *corev1.PersistentVolume {
	name := "pvc-" + string(claim.UID)
	volume := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{provisionedBy: provisionerName}},
		Spec: corev1.PersistentVolumeSpec{
			StorageClassName: class.Name,
			AccessModes:      claim.Spec.AccessModes,
			VolumeMode:       claim.Spec.VolumeMode,
			Capacity:         corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
		},
	}
	if class.ReclaimPolicy != nil {
		volume.Spec.PersistentVolumeReclaimPolicy = *class.ReclaimPolicy
	}
	folder := filepath.Join(v.folder, claim.Namespace+"_"+claim.Name+"_"+name)
	if class.Parameters["scope"] != "node" {
		volume.Spec.HostPath = &corev1.HostPathVolumeSource{Path: folder}
		return volume
	}
	volume.Spec.Local = &corev1.LocalVolumeSource{Path: folder}
	volume.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
			{Key: hostnameLabel, Operator: corev1.NodeSelectorOpIn, Values: []string{node}},
		}}},
	}}
	return volume
}

// grow follows a claim whose request has grown past what it has: first the volume, then the claim's status, the order
// in which a resizer of a real disk reports.
func (v *volumes) grow(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	volume, err := v.factory.Core().V1().PersistentVolumes().Lister().Get(claim.Spec.VolumeName)
	if apierrors.IsNotFound(err) || (err == nil && volume.Annotations[provisionedBy] != provisionerName) {
		return nil
	}
	if err != nil {
		return err
	}
	wanted := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	have, bound := claim.Status.Capacity[corev1.ResourceStorage]
	if !bound || wanted.Cmp(have) <= 0 {
		return nil
	}
	if capacity := volume.Spec.Capacity[corev1.ResourceStorage]; wanted.Cmp(capacity) > 0 {
		volume = volume.DeepCopy()
		volume.Spec.Capacity[corev1.ResourceStorage] = wanted
		if _, err := v.client.CoreV1().PersistentVolumes().Update(ctx, volume, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	claim = claim.DeepCopy()
	claim.Status.Capacity[corev1.ResourceStorage] = wanted
	_, err = v.client.CoreV1().PersistentVolumeClaims(claim.Namespace).UpdateStatus(ctx, claim, metav1.UpdateOptions{})
	return err
}

func (v *volumes) reclaim(ctx context.Context, volume *corev1.PersistentVolume) error {
	if volume.Annotations[provisionedBy] != provisionerName ||
		volume.Status.Phase != corev1.VolumeReleased || volume.DeletionTimestamp != nil ||
		volume.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		return nil
	}
	path := v.path(volume)
	if filepath.Dir(path) != filepath.Clean(v.folder) {
		return fmt.Errorf("%s does not lie in %s: left alone", path, v.folder)
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	err := v.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (v *volumes) path(volume *corev1.PersistentVolume) string {
	if volume.Spec.Local != nil {
		return volume.Spec.Local.Path
	}
	if volume.Spec.HostPath != nil {
		return volume.Spec.HostPath.Path
	}
	return ""
}

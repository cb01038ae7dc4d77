"""Writes `torch_backbones.json`, golden values of PyTorch for the backbones and for the reader of their weights.

The networks are written here after the published ones, narrow and with fewer blocks: VGG as torchvision names its
layers, ResNet-50 in two dimensions (torchvision) and inflated behind a two-dimensional stem, the three-dimensional
ResNeXt of Kinetics and Jester, and the co-occurrence network. Their weights come from `seeded_tensors.py`. Made anew,
in an environment of its own (the build `+cpu` of PyTorch comes from PyTorch's own package index):

    python3.11 -m venv oracle && oracle/bin/pip install --require-hashes -r tests/oracles/torch_requirements.txt &&
        oracle/bin/python tests/oracles/torch_backbones.py

The lock is made by

    uv pip compile tests/oracles/torch_requirements.in --python-version 3.11 --generate-hashes --no-emit-index-url
        --no-emit-find-links --no-header --output-file tests/oracles/torch_requirements.txt
"""

import base64
import json
import pathlib

import numpy as np
import safetensors.torch
import torch
from seeded_tensors import seeded_input, seeded_tensor
from torch import nn
from torch.nn import functional

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
ACTIVITYNET = (114.7748, 107.7354, 99.475)
BLOCKS = (2, 1, 1, 1)


class VGG(nn.Module):
    """`features`, convolutions and ReLU, max pooling after each block; two taps."""

    def __init__(self, counts, filters, low):
        super().__init__()
        layers, channels = [], 3
        for count, width in zip(counts, filters, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        # Part of the published file, and of no use here.
        self.classifier = nn.Sequential(nn.Linear(channels, 4), nn.ReLU(), nn.Dropout(), nn.Linear(4, 3))
        self.low = low

    def forward(self, pictures):
        taps = {}
        for index, layer in enumerate(self.features):
            pictures = layer(pictures)
            if index == self.low:
                taps["block4_conv1"] = pictures
        return {**taps, "block5_pool": pictures}


class Bottleneck(nn.Module):
    def __init__(self, channels, inner, outer, stride, groups, dims):
        super().__init__()
        conv, norm = ((nn.Conv2d, nn.BatchNorm2d), (nn.Conv3d, nn.BatchNorm3d))[dims - 2]
        self.conv1, self.bn1 = conv(channels, inner, 1, bias=False), norm(inner)
        self.conv2, self.bn2 = conv(inner, inner, 3, stride, 1, groups=groups, bias=False), norm(inner)
        self.conv3, self.bn3 = conv(inner, outer, 1, bias=False), norm(outer)
        self.downsample = None
        if channels != outer or np.max(stride) > 1:
            self.downsample = nn.Sequential(conv(channels, outer, 1, stride, bias=False), norm(outer))

    def forward(self, hidden):
        shortcut = hidden if self.downsample is None else self.downsample(hidden)
        hidden = functional.relu(self.bn1(self.conv1(hidden)))
        hidden = functional.relu(self.bn2(self.conv2(hidden)))
        return functional.relu(self.bn3(self.conv3(hidden)) + shortcut)


class ResNet(nn.Module):
    """`dims`: dimensions of stem and of bottlenecks: (2, 2), (2, 3) or (3, 3)."""

    def __init__(self, dims, stem, inner, expansion, groups, in_space_alone, channels=3, stem_frames=7, classes=3):
        super().__init__()
        if dims[0] == 2:
            self.conv1, self.bn1 = nn.Conv2d(channels, stem, 7, 2, 3, bias=False), nn.BatchNorm2d(stem)
            self.maxpool = nn.MaxPool2d(3, 2, 1)
        else:
            padding = (stem_frames // 2, 3, 3)
            self.conv1 = nn.Conv3d(channels, stem, (stem_frames, 7, 7), (1, 2, 2), padding, bias=False)
            self.bn1, self.maxpool = nn.BatchNorm3d(stem), nn.MaxPool3d(3, 2, 1)
        width = stem
        for number, count in enumerate(BLOCKS):
            middle = inner * 2**number
            blocks = []
            for index in range(count):
                stride = 2 if number and not index else 1
                stride = (1, stride, stride) if in_space_alone and dims[1] == 3 else stride
                blocks.append(Bottleneck(width, middle, middle * expansion, stride, groups, dims[1]))
                width = middle * expansion
            setattr(self, f"layer{number + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(width, classes)
        self.dims = dims

    def forward(self, clips):
        batch, _, frames = clips.shape[:3]
        hidden = clips
        if self.dims[0] == 2:
            hidden = clips.transpose(1, 2).flatten(0, 1)
        hidden = self.maxpool(functional.relu(self.bn1(self.conv1(hidden))))
        if self.dims == (2, 3):
            hidden = hidden.unflatten(0, (batch, frames)).transpose(1, 2)
        taps = {}
        for number in (1, 2, 3, 4):
            hidden = getattr(self, f"layer{number}")(hidden)
            taps[f"layer{number}"] = hidden
        if self.dims == (2, 2):
            taps = {name: tap.unflatten(0, (batch, frames)).transpose(1, 2) for name, tap in taps.items()}
        pooled = taps["layer4"].mean((2, 3, 4))
        return {"layer2": taps["layer2"], "layer4": taps["layer4"], "pooled": pooled, "logits": self.fc(pooled)}


class HCN(nn.Module):
    def __init__(self, joints, columns, filters, classes):
        super().__init__()
        for stream in ("", "m"):
            for name, layers in {
                f"conv1{stream}": nn.Sequential(nn.Conv2d(3, filters, 1), nn.ReLU()),
                f"conv2{stream}": nn.Conv2d(filters, columns, (3, 1), padding=(1, 0)),
                f"conv3{stream}": nn.Sequential(nn.Conv2d(joints, filters // 2, 3, padding=1), nn.MaxPool2d(2)),
                f"conv4{stream}": nn.Sequential(
                    nn.Conv2d(filters // 2, filters, 3, padding=1), nn.Dropout2d(), nn.MaxPool2d(2)
                ),
            }.items():
                setattr(self, name, layers)
        for name, inputs, outputs in (("conv5", 2, 2), ("conv6", 2, 4)):
            conv = nn.Conv2d(inputs * filters, outputs * filters, 3, padding=1)
            setattr(self, name, nn.Sequential(conv, nn.ReLU(), nn.Dropout2d(), nn.MaxPool2d(2)))
        self.fc7 = nn.Sequential(nn.Linear(4 * filters * 2 * 2, 8 * filters), nn.ReLU(), nn.Dropout())
        self.fc8 = nn.Linear(8 * filters, classes)

    def forward(self, skeletons):
        # (batch, coordinates, frames, joints, bodies)
        frames, joints = skeletons.shape[2:4]
        conv5, conv6 = [], []
        for body in skeletons.unbind(-1):
            motion = functional.interpolate(body[:, :, 1:] - body[:, :, :-1], (frames, joints), mode="bilinear")
            streams = []
            for hidden, stream in ((body, ""), (motion, "m")):
                hidden = getattr(self, f"conv2{stream}")(getattr(self, f"conv1{stream}")(hidden))
                hidden = getattr(self, f"conv3{stream}")(hidden.permute(0, 3, 2, 1))
                streams.append(getattr(self, f"conv4{stream}")(hidden))
            conv5.append(self.conv5(torch.cat(streams, 1)))
            conv6.append(self.conv6(conv5[-1]))
        conv5, conv6 = (torch.stack(maps).amax(0) for maps in (conv5, conv6))
        fc7 = self.fc7(conv6.flatten(1))
        return {"conv5": conv5, "conv6": conv6, "fc7": fc7, "logits": self.fc8(fc7)}


def run(name, network, input_shape, preprocess, highest=255.0):
    """State dict by shape and taps, channels last, of a network with seeded weights at inference."""
    state = network.state_dict()
    network.load_state_dict({key: torch.from_numpy(seeded_tensor(key, tuple(v.shape))) for key, v in state.items()})
    # (batch, ..., channels) to (batch, channels, ...)
    inputs = torch.from_numpy(seeded_input(name, input_shape, highest))
    inputs = preprocess(inputs).movedim(-1, 1)
    if isinstance(network, HCN):
        # From (batch, coordinates, frames, bodies, joints).
        inputs = inputs.transpose(3, 4)
    with torch.no_grad():
        outputs = network.eval()(inputs)
    return {
        "name": name,
        "input_shape": list(input_shape),
        "highest": highest,
        "tensors": {key: list(value.shape) for key, value in state.items()},
        "outputs": {key: values_of(value.movedim(1, -1)) for key, value in outputs.items()},
    }


def values_of(tensor):
    return {"shape": list(tensor.shape), "values": [float(f"{value:.6g}") for value in tensor.flatten().tolist()]}


def standardised(pictures):
    mean, deviation = (torch.tensor(values) for values in IMAGENET)
    return (pictures / 255 - mean) / deviation


def inflated(network_2d, how):
    """The state dict of a two-dimensional ResNet for bottlenecks of three dimensions."""
    state = {}
    for key, value in network_2d.state_dict().items():
        if value.ndim == 4 and key != "conv1.weight":
            frames = 3 if value.shape[-1] == 3 else 1
            value = value.unsqueeze(2).repeat(1, 1, frames, 1, 1)
            if how == "mean":
                value = value / frames
            elif frames == 3:
                value[:, :, [0, 2]] = 0
        state[key] = value
    return state


def networks():
    vgg16 = VGG((2, 2, 3, 3, 3), (2, 4, 8, 16, 16), low=18)
    yield run("vgg16", vgg16, (2, 32, 64, 3), standardised)
    vgg19 = VGG((2, 2, 4, 4, 4), (2, 4, 8, 16, 16), low=20)
    yield run("vgg19", vgg19, (2, 32, 64, 3), standardised)

    clips = (1, 4, 30, 44, 3)
    in_space = {"stem": 4, "inner": 4, "expansion": 4, "groups": 1, "in_space_alone": True}
    yield run("inflated_resnet50", ResNet((2, 3), **in_space), clips, standardised)
    # In two dimensions, frame by frame: what inflation at the centre must give.
    network_2d = ResNet((2, 2), **in_space)
    flat = run("resnet50", network_2d, clips, standardised)
    yield {**flat, "inflation": "center"}
    network_3d = ResNet((2, 3), **in_space)
    network_3d.load_state_dict(inflated(network_2d, "mean"))
    with torch.no_grad():
        outputs = network_3d.eval()(standardised(torch.from_numpy(seeded_input("resnet50", clips))).movedim(-1, 1))
    outputs = {key: values_of(value.movedim(1, -1)) for key, value in outputs.items()}
    yield {**flat, "outputs": outputs, "inflation": "mean"}

    in_time = {"stem": 4, "inner": 8, "expansion": 2, "groups": 4, "in_space_alone": False}
    mean = torch.tensor(ACTIVITYNET)
    yield run("resnext101", ResNet((3, 3), **in_time), (1, 8, 30, 44, 3), lambda clip: clip - mean)
    depth = ResNet((3, 3), **in_time, channels=1, stem_frames=3)
    yield run("resnext101_depth", depth, (1, 8, 30, 44, 1), lambda clip: clip - mean.mean())

    yield run("hcn", HCN(joints=5, columns=32, filters=8, classes=3), (2, 32, 2, 5, 3), lambda x: x, highest=1.0)


def grouped_convolutions():
    for channels, filters, groups, stride in ((6, 12, 3, 1), (8, 8, 4, 2), (64, 32, 32, (1, 2, 2))):
        inputs = torch.from_numpy(seeded_input("grouped", (2, 3, 5, 6, channels), 1.0)).movedim(-1, 1)
        kernel = torch.from_numpy(seeded_tensor("grouped.weight", (filters, channels // groups, 3, 3, 3)))
        output = functional.conv3d(inputs, kernel, stride=stride, groups=groups)
        yield {
            "channels": channels,
            "filters": filters,
            "groups": groups,
            "strides": stride,
            "output": values_of(output.movedim(1, -1)),
        }


def safetensors_file():
    """A file as the library of that name writes it, of every type of numbers that published weights have."""
    values = torch.tensor([[0.5, -1.25, 3.0], [1024.0, -0.0078125, 0.0]])
    types = {"half": torch.float16, "brain": torch.bfloat16, "single": torch.float32, "double": torch.float64}
    tensors = {name: values.to(kind) for name, kind in types.items()}
    tensors |= {"count": torch.tensor(7), "empty": torch.zeros(0, 3)}
    content = safetensors.torch.save(tensors, {"format": "pt"})
    return {"values": values.tolist(), "base64": base64.b64encode(content).decode()}


def main():
    golden = {
        "torch": torch.__version__,
        "safetensors_version": safetensors.__version__,
        "safetensors": safetensors_file(),
        "networks": list(networks()),
        "grouped_convolutions": list(grouped_convolutions()),
    }
    path = pathlib.Path(__file__).with_suffix(".json")
    # One network, one case a line.
    lines = []
    for key, value in golden.items():
        if isinstance(value, list):
            rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in value)
            lines.append(f'"{key}": [\n{rows}\n]')
        else:
            lines.append(f'"{key}": {json.dumps(value)}')
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()

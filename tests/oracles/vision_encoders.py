"""Writes `vision_encoders.json`, golden values of transformers' and torchvision's encoders of pictures.

Small networks with weights from `seeded_tensors.py`, under the names that transformers saves them by, on pictures of
the size that they are made for and of another. Made anew, in an environment of its own:

    python3.11 -m venv oracle && oracle/bin/pip install --require-hashes -r tests/oracles/vision_requirements.txt &&
        oracle/bin/python tests/oracles/vision_encoders.py

The lock is made as that of `torch_backbones.py`, from `vision_requirements.in`.
"""

import json
import pathlib
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file
from seeded_tensors import seeded_input, seeded_tensor

# Its operations on boxes are not in the build for PyTorch for the processor; it only wants to hear of them.
boxes = torch.library.Library("torchvision", "DEF")
for operation in ("nms", "qnms"):
    boxes.define(f"{operation}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import torchvision  # noqa: E402

HERE = pathlib.Path(__file__).parent
HALVES = ((0.5,) * 3, (0.5,) * 3)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
MOST_VALUES = 250
# Three by three patches, and two by five.
SIDES = ((24, 24), (16, 40))
SIZES = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 24, "patch_size": 8}


def values_of(tensor):
    return {"shape": list(tensor.shape), "values": [float(f"{value:.6g}") for value in tensor.flatten().tolist()]}


def filled(network):
    """The network with seeded weights, read back as a published one is, and the shapes of its tensors by name."""
    with tempfile.TemporaryDirectory() as folder:
        network.save_pretrained(folder)
        path = f"{folder}/model.safetensors"
        shapes = {name: tuple(tensor.shape) for name, tensor in load_file(path).items()}
        tensors = {name: torch.tensor(seeded_tensor(name, shape)) for name, shape in shapes.items()}
        save_file(tensors, path, metadata={"format": "pt"})
        read = type(network).from_pretrained(folder)
        config = json.loads(pathlib.Path(folder, "config.json").read_text())
    assert not any(parameter.isnan().any() for parameter in read.parameters())
    return read.eval(), config, {name: list(shape) for name, shape in shapes.items()}


def standardised(name, sides, statistics):
    mean, deviation = (torch.tensor(figures)[:, None, None] for figures in statistics)
    picture = torch.from_numpy(seeded_input(f"{name}{sides}", (1, *sides, 3))).movedim(-1, 1)
    return (picture / 255 - mean) / deviation


def layer_outputs(tower, pictures, layer_class, **arguments):
    """What goes into the first block, and what comes out of each: what a hook sees, and not what outputs are called."""
    states = []

    def before(module, inputs, keywords):
        if not states:
            states.append(inputs[0] if inputs else keywords["hidden_states"])

    def after(module, inputs, output):
        states.append(output[0] if isinstance(output, tuple) else output)

    handles = []
    for module in tower.modules():
        if type(module).__name__ == layer_class:
            handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
            handles.append(module.register_forward_hook(after))
    with torch.no_grad():
        tower(pictures, **arguments)
    for handle in handles:
        handle.remove()
    return states


def vision_transformer(name, kind, network, layer_class, statistics, last, leading, interpolate=True):
    network, config, tensors = filled(network)
    tower = getattr(network, "vision_model", network)
    cases = []
    for sides in SIDES:
        pictures = standardised(name, sides, statistics)
        arguments = {"interpolate_pos_encoding": True} if interpolate else {}
        states = layer_outputs(tower, pictures, layer_class, **arguments)
        assert len(states) == 3
        with torch.no_grad():
            states.append(getattr(tower, last)(states[-1]))
        cells = [side // 8 for side in sides]
        outputs = {}
        for tap, state in zip(("layer_0", "layer_1", "layer_2", "normed"), states, strict=True):
            outputs[tap] = values_of(state[:, leading:].reshape(1, *cells, -1))
            if leading:
                outputs[f"{tap}_class"] = values_of(state[:, 0])
        if hasattr(network, "visual_projection"):
            with torch.no_grad():
                outputs["projected"] = values_of(network.visual_projection(states[-1][:, 0]))
        cases.append({"input": f"{name}{sides}", "sides": list(sides), "outputs": outputs})
    return {"name": name, "kind": kind, "config": config, "tensors": tensors, "cases": cases}


def vision_transformers():
    config = transformers.ViTConfig(intermediate_size=12, layer_norm_eps=1e-6, **SIZES)
    yield vision_transformer("vit", "vit", transformers.ViTModel(config), "ViTLayer", HALVES, "layernorm", 1)
    config = transformers.Dinov2Config(mlp_ratio=2, **SIZES)
    network = transformers.Dinov2Model(config)
    yield vision_transformer("dinov2", "dinov2", network, "Dinov2Layer", IMAGENET, "layernorm", 1, interpolate=False)
    config = transformers.Dinov2WithRegistersConfig(mlp_ratio=2, num_register_tokens=3, **SIZES)
    network = transformers.Dinov2WithRegistersModel(config)
    layer = "Dinov2WithRegistersLayer"
    yield vision_transformer("registers", "dinov2", network, layer, IMAGENET, "layernorm", 4, interpolate=False)
    text = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    text |= {"vocab_size": 40, "max_position_embeddings": 6, "bos_token_id": 1, "eos_token_id": 2}
    vision = {**SIZES, "intermediate_size": 12}
    network = transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=5))
    yield vision_transformer("clip", "clip", network, "CLIPEncoderLayer", CLIP, "post_layernorm", 1)
    network = transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision))
    yield vision_transformer("siglip", "siglip", network, "SiglipEncoderLayer", HALVES, "post_layernorm", 0)


def convnext():
    config = transformers.ConvNextConfig(hidden_sizes=[4, 6, 8, 10], depths=[1, 1, 2, 1])
    network, config, tensors = filled(transformers.ConvNextModel(config))
    sides = (64, 96)
    with torch.no_grad():
        hidden = network.embeddings(standardised("convnext", sides, IMAGENET))
        outputs = {}
        for number, stage in enumerate(network.encoder.stages, start=1):
            hidden = stage(hidden)
            outputs[f"stage_{number}"] = values_of(hidden.movedim(1, -1))
    case = {"input": f"convnext{sides}", "sides": list(sides), "outputs": outputs}
    return {"name": "convnext", "kind": "convnext", "config": config, "tensors": tensors, "cases": [case]}


def torchvision_network(name, kind, network, arguments, stages):
    """Of every output some values, as these networks are wide."""
    state = network.state_dict()
    seeded = {key: torch.tensor(seeded_tensor(key, tuple(value.shape))) for key, value in state.items()}
    network.load_state_dict(seeded)
    network.eval()
    outputs, handles = {}, []
    for tap, stage in stages.items():
        module = network.get_submodule(stage)
        handles.append(
            module.register_forward_hook(lambda module, inputs, output, tap=tap: outputs.update({tap: output}))
        )
    sides = (64, 96)
    with torch.no_grad():
        network(standardised(name, sides, IMAGENET))
        if kind == "densenet":
            outputs["normed"] = torch.relu(outputs["normed"])
    for tap, output in outputs.items():
        values = output.movedim(1, -1)
        some = values.flatten()[:: -(-values.numel() // MOST_VALUES)]
        outputs[tap] = {"shape": list(values.shape), "some": [float(f"{value:.6g}") for value in some.tolist()]}
    tensors = {key: list(value.shape) for key, value in state.items()}
    case = {"input": f"{name}{sides}", "sides": list(sides), "outputs": outputs}
    return {"name": name, "kind": kind, "arguments": arguments, "tensors": tensors, "cases": [case]}


def torchvision_networks():
    layers = {f"layer{number}": f"layer{number}" for number in range(1, 5)}
    for name, groups, width in (("resnet", 1, 64), ("resnext", 4, 8)):
        network = torchvision.models.ResNet(
            torchvision.models.resnet.Bottleneck, [1, 2, 1, 1], groups=groups, width_per_group=width
        )
        yield torchvision_network(name, "residual_network", network, [[1, 2, 1, 1], groups, width], layers)
    network = torchvision.models.DenseNet(growth_rate=4, block_config=(1, 2, 1, 2), num_init_features=8)
    stages = {f"block_{number}": f"features.denseblock{number}" for number in range(1, 5)}
    stages["normed"] = "features.norm5"
    yield torchvision_network("densenet", "densenet", network, [[1, 2, 1, 2], 4, 8], stages)


def sizes():
    """By name: how many numbers the published networks have without their classifiers."""
    for name in ("resnet152", "resnext101_32x8d", "densenet161", "densenet121", "convnext_tiny"):
        # Of no memory: shapes alone.
        with torch.device("meta"):
            state = torchvision.models.get_model(name).state_dict()
        heads = ("fc.", "classifier.")
        names = [key for key in state if not key.startswith(heads) and not key.endswith("num_batches_tracked")]
        yield name, sum(state[key].numel() for key in names)


def main():
    cases = [*vision_transformers(), convnext(), *torchvision_networks()]
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    versions = {module.__name__: module.__version__ for module in (torch, transformers, torchvision)}
    head = json.dumps({**versions, "sizes": dict(sizes())})[1:-1]
    (HERE / "vision_encoders.json").write_text(f'{{\n{head},\n"encoders": [\n{lines}\n]\n}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()

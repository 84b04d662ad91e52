"""Names of layers, and of their objects."""

from kubelambda.core.code.layer_reference import layer_name_of, layer_object_name, layer_version_name, parse_layer


def test_a_name_that_kubernetes_takes_is_the_objects_own() -> None:
    """As it was before other names were possible."""
    assert layer_object_name("numpy-2") == "numpy-2"
    assert layer_version_name("numpy-2", 7) == "numpy-2-7"


def test_other_names_get_objects_of_their_own() -> None:
    """My_Layer and my-layer never meet."""
    names = {layer_object_name(name) for name in ("My_Layer", "my-layer", "my_layer", "L" * 140, "_")}
    assert len(names) == 5
    assert all(name == name.lower() and "_" not in name for name in names)
    reference = parse_layer("arn:aws:lambda:us-east-1:123456789012:layer:My_Layer:3")
    assert reference is not None
    assert reference.object_name == layer_version_name("My_Layer", 3)


def test_the_spec_says_lambdas_name() -> None:
    """Else it is the object's."""
    assert layer_name_of({"metadata": {"name": "o"}, "spec": {"layerName": "My_Layer"}}) == "My_Layer"
    assert layer_name_of({"metadata": {"name": "o"}, "spec": {}}) == "o"

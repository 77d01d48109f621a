
def load(path=None):
    """The model with its weights, ready to listen."""
    model = Model()
    path = pathlib.Path(path or pathlib.Path(__file__).with_name("weights.safetensors"))
    try:
        if path.suffix == ".safetensors":
            weights = read_safetensors(path)
        else:
            weights = torch.load(path, weights_only=True)
    except OSError as error:
        refuse(f"cannot read the weights {path} ({error.strerror}); put them beside model.py")
    except Exception as error:  # whatever a foreign file can do to its reader
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        refuse(f"{path} is not a file of weights ({reason}); export the model again")
    if not isinstance(weights, dict):
        refuse(f"{path} holds no state dict; save model.state_dict()")
    try:
        missing, surplus = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        # The first line says that there are errors, the others which.
        faults = str(error).splitlines()[1:]
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        refuse(f"{path} does not fit: {' '.join(faults[:3])}{more}; export the model again")
    # A count that PyTorch keeps for itself; everything else must be there.
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or surplus:
        refuse(f"{path} does not fit: missing {missing}, surplus {surplus}")
    return model.eval()


def greedy(logits):
    """The text of logits [frames, labels]: the best label of each frame, repeats merged, blanks dropped."""
    best = logits[:, : len(LABELS)].argmax(1).tolist()
    kept = [label for place, label in enumerate(best) if place == 0 or label != best[place - 1]]
    text = SEPARATOR.join(LABELS[label] for label in kept if label != 0)
    return " ".join(text.split())


def one_word(logits):
    """The best transcript of exactly one word: sums over blanks, a run of the word, blanks (CTC)."""
    y = logits.double().log_softmax(1)
    within = behind = torch.full((len(LABELS) - 1,), float("-inf"), dtype=y.dtype)
    before = torch.zeros((), dtype=y.dtype)
    for frame in y:
        behind = torch.logaddexp(behind, within) + frame[0]
        within = torch.logaddexp(within, before) + frame[1 : len(LABELS)]
        before = before + frame[0]
    return LABELS[1 + int(torch.logaddexp(within, behind).argmax())]


def main():
    usage = "python model.py FEATURES.npy… [--logits FOLDER] | python model.py --save WEIGHTS.pth"
    arguments = sys.argv[1:]
    if arguments and arguments[0] in ("-h", "--help"):
        print(usage)
        return
    if not arguments:
        refuse(f"usage: {usage}")
    model = load()
    if arguments[0] == "--save" and len(arguments) == 2:
        torch.save(model.state_dict(), arguments[1])
        return
    folder = None
    if "--logits" in arguments:
        place = arguments.index("--logits")
        if place + 1 == len(arguments):
            refuse(f"usage: {usage}")
        folder = pathlib.Path(arguments.pop(place + 1))
        arguments.pop(place)
        folder.mkdir(parents=True, exist_ok=True)
    for name in arguments:
        try:
            features = torch.from_numpy(numpy.load(name).astype("float32"))  # [frames, bins]
        except (OSError, ValueError, EOFError) as error:
            refuse(f"cannot read the features {name} ({error}); `labyrinth features -o npy` writes them")
        if features.ndim != 2 or features.shape[1] != BINS:
            refuse(f"{name} is {list(features.shape)} and must be [frames, {BINS}]: features of this model")
        with torch.no_grad():
            logits = model(features.unsqueeze(0))[0]
        if folder:
            numpy.save(folder / pathlib.Path(name).name, logits.numpy())
        text = one_word(logits) if OPTIONS.get("one-word", False) else greedy(logits)
        print(f"{name}\t{text}")


if __name__ == "__main__":
    main()

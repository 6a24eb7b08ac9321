import os, time, subprocess, pytest, signal
from pathlib import Path
SEEN=[]
def later(files, told):
    assert told["x"] == 5
    assert Path(files[0]).read_bytes()[:4]==b"abcd"
    assert Path(files[1]).stat().st_size == 2<<20
    print("later was here")
    assert not told.get("bad"), told

@pytest.mark.disks("1 MiB","2 MiB", then=later)
@pytest.mark.parametrize("bad",[0,1])
def test_then(disks, record_property, bad):
    Path(disks[0]).write_bytes(b"abcd"); record_property("x", 5); record_property("bad", bad)
@pytest.mark.disks()
def test_dies(): os._exit(3)
@pytest.mark.disks()
def test_killed(): os.kill(0, signal.SIGKILL)
@pytest.mark.disks(timeout_s=3)
def test_sleeps(): print("going to"); time.sleep(100)
@pytest.mark.disks()
def test_leaves_mount(tmp_path): subprocess.run(["mount","-t","tmpfs","x",str(tmp_path)])
@pytest.mark.disks()
def test_leaves_file():
    import tempfile; tempfile.mkstemp()
@pytest.mark.disks("100 MiB")
def test_leaves_loop(disks): subprocess.run(["losetup","-f",disks[0]])
@pytest.mark.disks("100 MiB","100 MiB")
def test_bcache(disks):
    subprocess.run(["make-bcache","--writeback","-B",disks[0],"-C",disks[1]],check=True)
    for _ in range(50):
        if os.path.exists("/dev/bcache0"): break
        time.sleep(.1)
    subprocess.run(["mkfs.xfs" if 0 else "mkfs.ext4","-q","/dev/bcache0"],check=True)
    assert Path("/sys/block/bcache0/bcache/state").read_text().strip() in ("dirty","clean")
@pytest.mark.disks()
def test_after(): assert "bcache" not in Path("/proc/partitions").read_text()
@pytest.mark.disks()
def test_panic(): open("/proc/sysrq-trigger","w").write("c")
@pytest.mark.disks()
def test_after2():
    subprocess.Popen(["sleep","1000"])
@pytest.mark.disks("300 MiB","300 MiB")
def test_mounted_lvm(disks,tmp_path):
    subprocess.run(["vgcreate","-q","g",*disks],check=True)
    subprocess.run("lvcreate -q -y --type raid1 -L 100M -n a g && lvcreate -y -q --type thin-pool -L 80M -n pool g && lvcreate -y -q -V 1G --thinpool pool -n thin g && mkfs.ext4 -q /dev/g/thin && mount /dev/g/thin "+str(tmp_path),shell=True,check=True)
    assert 0
def test_host(): pass
